"""Where gluon-tricks tag starts from: the document's settings for VOC2007, and small ones for what is built in."""

from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.tricks import Cosine, Warmup

_SCENES = MultiLabelRecipe(
    name="tags_scenes",
    model="resnet18_v1d",
    data="scenes",
    input_size=96,
    crop="area",
    min_area=0.5,
    test_crops=0,
    epochs=8,
    batch_size=16,
    lr=0.02,
    tricks=(Warmup(epochs=1), Cosine()),
)
MULTI_LABEL = {
    "voc": MultiLabelRecipe(name="voc_classification"),
    "records": MultiLabelRecipe(name="tags", data="records"),
    "scenes": _SCENES,
    "few_scenes": _SCENES.set(name="tags_few_scenes", data="few_scenes"),
}
RECIPES = tuple(MULTI_LABEL.values())
