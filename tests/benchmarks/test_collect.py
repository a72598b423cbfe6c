"""What is kept of cells: nothing of it says where on a machine they lay."""

import json

from benchmarks.collect import collect
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import Cosine, Distillation


def test_recipes_keep_the_ends_of_their_paths(tmp_path):
    """And are shown as the cells that they are."""
    place = "/home/somebody/private"
    recipe = Recipe(
        model="resnet18_v1b", classes=2, data="records", train=(f"{place}/train.rec",), val=(f"{place}/val.rec",),
        pretrained=f"{place}/a-base/seed1/final.params",
        photos={"folder": f"{place}/flowers", "val_split": 0.3, "at_most": 512, "classes": ["a", "b"], "digests": []},
        tricks=(Cosine(), Distillation(f"{place}/table6-teacher/seed0")),
    )  # fmt: skip
    run = tmp_path / "runs" / "table6-student" / "seed0"
    run.mkdir(parents=True)
    for name, text in (("metrics.csv", "epoch\n1\n"), ("events.jsonl", ""), ("final.params", "")):
        (run / name).write_text(text)
    (run / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert collect(tmp_path / "runs", tmp_path / "kept", "table6") == 1
    text = (tmp_path / "kept" / "table6-student" / "seed0" / "recipe.json").read_text()
    assert place not in text
    kept = json.loads(text)
    assert (kept["train"], kept["photos"]["folder"]) == (["train.rec"], "flowers")
    assert kept["pretrained"] == "a-base/seed1/final.params"
    assert kept["tricks"][1]["teacher"] == "table6-teacher/seed0" and kept["tricks"][0] == recipe.to_json()["tricks"][0]
