"""Table 2 of data-dependent initialisation: initialisations of CaffeNet, for classification and detection on VOC2007.

Source: Krähenbühl et al., Data-dependent initializations of convolutional neural networks (ICLR 2016), section 4.2.
Differs: Xavier's deviation is Glorot and Bengio's, of the mean of fan-in and fan-out, where Caffe's takes fan-in alone.
    The dense layers of "MSRA" are Gaussian, of a deviation that the document does not give, 0.01. Detection is by the
    Faster-RCNN that is here, not by Fast R-CNN on given regions, at one scale of training, with one of the three rates
    that the document chose among.
"""

import math

from gluon_tricks.recipes.tables import magic_table1
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tricks import DataDependentInit, StepDecay

# Section 4: of three rates the one that is Fast R-CNN's, a tenth of it after each 50,000 of 150,000 steps of 2 images,
# which are 60 epochs of 5011; all layers learn. Beside these the numbers are those of the detector here.
VOC_DETECTION = DetectionRecipe(
    name="voc_detection",
    model="caffenet",
    init="plain",
    init_sd=0.01,
    classes=20,
    train_splits=("2007_trainval",),
    frozen_stages=0,
    epochs=60,
    batch_size=2,
    lr=0.001,
    tricks=(StepDecay((20, 40)),),
)
COLUMNS = dict(classification=magic_table1.VOC, detection=VOC_DETECTION)


def _row(key: str, label: str, paper: tuple[float, float], init: str = "plain", filters: str = "") -> Row:
    """paper: percent mAP of classification and of detection."""
    printed = {name: (value, math.nan) for name, value in zip(COLUMNS, paper)}
    return Row(
        *(key, label),
        set=dict(init=init),
        add=(DataDependentInit(filters=filters),) if filters else (),
        paper=printed,
    )


TABLE = Table(
    "magic_table2",
    "initialisations of CaffeNet, VOC2007",
    COLUMNS,
    variants(
        _row("xavier", "Xavier", (51.1, 40.4), init="paper"),
        _row("msra", "MSRA", (43.3, 37.2), init="kaiming_conv"),
        _row("hand_tuned", "Random Gaussian (hand tuned)", (53.4, 41.3), init="gluoncv"),
        _row("gaussian", "Ours (Random Gaussian)", (53.3, 43.4), filters="gaussian"),
        _row("pca", "Ours (PCA)", (52.8, 43.1), filters="pca"),
        _row("kmeans", "Ours (k-means)", (56.6, 45.6), filters="kmeans"),
    ),
    photos=magic_table1.PHOTOS,
    images=magic_table1.IMAGES,
    classes=20,
    scores=magic_table1.SCORES,
    family=magic_table1.FAMILY,
)
