"""Figure 1 of the ImageNet models with batch normalisation: AlexNet's error over the training, while the rate falls.

Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), section 4: "While it might look like
    the error could decrease even further, this is not true. [...] Even if the learning rate is kept constant, no
    improvement can be observed."
Differs: the document does not say when the rate is kept constant; here it is from the first step on.
"""

import math

from gluon_tricks.recipes.tables.cvjena_table1 import ALEXNET, ERRORS, FAMILY, scores
from gluon_tricks.recipes.tables.rows import Row, Table, variants

TABLE = Table(
    "cvjena_figure1",
    "AlexNet's error over its training (Simon et al., figure 1)",
    {"alexnet": ALEXNET},
    variants(
        Row("linear", "the rate falls linearly to 0", paper={"alexnet": scores(ERRORS["alexnet"])}),
        Row("constant", "the rate stays", set=dict(tricks=()), base="linear", paper={"alexnet": (math.nan, math.nan)}),
    ),
    family=FAMILY,
)
