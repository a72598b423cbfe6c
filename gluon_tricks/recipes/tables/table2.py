"""Table 2: the baseline of section 2 against the implementations that the networks come from."""

from gluon_tricks.recipes.tables import table3
from gluon_tricks.recipes.tables.rows import Table

TABLE = Table(
    "table2",
    "the baseline against reference implementations",
    table3.TABLE.columns,
    (table3.TABLE.row("baseline"),),  # the same trainings
)

# Top-1 and top-5 of the references, as the paper cites them.
REFERENCE = {"resnet50_v1": (75.3, 92.2), "inceptionv3": (78.8, 94.4), "mobilenet1.0": (70.6, None)}
