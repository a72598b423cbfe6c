"""Batch normalisation put into an AlexNet that was trained without: its error, and what fine-tuning makes of it.

Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), section 2: "adding batch
    normalization afterwards to models trained without batch normalization yields in a severe increase in error rates
    due to mismatching output statistics. Instead, fine-tuning with our batch normalization models is directly
    possible".
Differs: the document has neither numbers nor a protocol. The layers stand between each convolution or hidden dense
    layer and its relu (section 3), with gamma 1 and beta 0, and dropout is left out, as in its own models; the local
    response normalisation of the trained network stays. Fine-tuning has a quarter of the epochs, ours.
"""

import math

from gluon_tricks.recipes.tables.cvjena_table1 import (
    ALEXNET,
    ERRORS,
    ERRORS_OF_ORIGINALS,
    FAMILY,
    ORIGINAL,
    fields_of,
    scores,
)
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import LinearDecay

COLUMN, WITHOUT = "alexnet", "cvjena_bn/alexnet/without"
_INSERTED = dict(pretrained=WITHOUT, net={"batch_norm": True, "hidden_drop": 0.0})
_NO_NUMBERS = {COLUMN: (math.nan, math.nan)}

TABLE = Table(
    "cvjena_bn",
    "batch normalisation put into a network that was trained without (Simon et al., section 2)",
    {COLUMN: ALEXNET},
    variants(
        Row(
            "without",
            "trained without",
            set=fields_of(ORIGINAL, ALEXNET),
            paper={COLUMN: scores(ERRORS_OF_ORIGINALS["alexnet"])},
        ),
        # At a rate of 0 an epoch estimates the running statistics, and changes nothing else.
        Row(
            "inserted",
            "put in, its statistics estimated",
            set=dict(**_INSERTED, epochs=1, lr=0.0, tricks=()),
            base="without",
            paper=_NO_NUMBERS,
        ),
        Row(
            "fine_tuned",
            "put in, the network fine-tuned",
            set=dict(**_INSERTED, epochs=16, tricks=(LinearDecay(),)),
            base="without",
            paper=_NO_NUMBERS,
        ),
        Row("bn", "trained with it from the start", base="", paper={COLUMN: scores(ERRORS["alexnet"])}),
    ),
    family=FAMILY,
)
