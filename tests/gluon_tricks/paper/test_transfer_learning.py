"""Transfer learning from few images: what the cells differ in, what they start from, what is drawn."""

import json
import re

import pytest

from gluon_tricks.cli import reproduce
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.selection import selected
from gluon_tricks.networks.load import starting_point
from gluon_tricks.paper import estimate, little_data
from gluon_tricks.paper.cells import Runs, missing
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.little_data_scales import LITTLE_DATA_SCALES
from gluon_tricks.paper.pictures import PICTURES
from gluon_tricks.paper.speeds import Speed, Speeds
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_table
from model_zoo import get_model, weights
from model_zoo.preprocessing import Preprocessing

TABLE, NEW = get_table("transfer_learning"), "new_classes"
ROWS = [f"{method}_{count}" for count in (10, 50, "all") for method in ("frozen", "tuned")]
SYNSETS = "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257".split()


def recipes(scale):
    return {row: LITTLE_DATA_SCALES[scale].recipe(TABLE, NEW, row) for row in ROWS}


def test_rows_differ_in_images_and_in_what_is_trained():
    """Both of a pair see the same images for as long; only one of them trains the features."""
    found = recipes("paper")
    assert [found[row].per_class for row in ROWS] == [10, 10, 50, 50, 0, 0]
    assert [found[row].freeze for row in ROWS] == [("features",), ()] * 3
    for frozen, tuned in zip(ROWS[::2], ROWS[1::2]):
        one, other = found[frozen], found[tuned]
        assert one.set(name="", freeze=()) == other.set(name="")
        assert one.batch_size <= 5 * (one.per_class or 1000) and one.new_head
    assert [row.base for row in TABLE.rows if row.key.startswith("frozen")] == ["", "frozen_10", "frozen_50"]


def test_the_given_network_knows_other_classes(tmp_path):
    """Of Imagenette's ten five and five; the document's own scale starts from a published network."""
    cells = Runs(tmp_path, LITTLE_DATA_SCALES["small"]).cells(TABLE.name, (), (), 2)
    assert [cell.name.split("/")[2] for cell in cells] == ROWS * 2 and {cell.recipe.seed for cell in cells} == {0, 1}
    (source,) = {cell.source.name: cell.source for cell in cells}.values()
    assert (source.name, source.recipe.seed) == ("transfer_learning/other_classes/base", 0)
    assert [*source.recipe.only_classes, *cells[0].recipe.only_classes] == SYNSETS
    assert cells[0].recipe.pretrained == str((source.folder / "final.params").absolute())
    assert not source.recipe.freeze and not source.recipe.per_class and not source.recipe.pretrained
    of_paper = Runs(tmp_path, LITTLE_DATA_SCALES["paper"]).cells(TABLE.name, (), (), None)
    assert {(cell.recipe.pretrained, cell.source) for cell in of_paper} == {("true", None)}
    assert missing(cells[:2]) == [source, *cells[:2]]


def test_a_network_that_is_given_takes_the_place(tmp_path):
    net = get_model("resnet18_v1b", classes=3)
    net.initialize()
    path = tmp_path / "net.safetensors"
    weights.save(net, path)
    runs = Runs(tmp_path, LITTLE_DATA_SCALES["small"], networks={"": str(path)})
    cell = runs.cells(TABLE.name, (), ("frozen_10",), 1)[0]
    assert (cell.recipe.model, cell.recipe.pretrained, cell.source) == ("resnet18_v1b", str(path), None)
    assert starting_point(str(path), "resnet18_v1b") == str(path)


def started_at(scale, source, tmp_path):
    runs = Runs(tmp_path, LITTLE_DATA_SCALES[scale], networks={"": str(source)})
    recipe = runs.cell("transfer_learning/new_classes/frozen_10", 0).recipe
    return recipe.model, recipe.input_size, recipe.crop_ratio, recipe.mean, recipe.std


@pytest.mark.parametrize("name", ["inceptionv3", "vgg16", "cvjena_alexnet"])
def test_images_are_made_as_a_given_network_takes_them(name, tmp_path, monkeypatch):
    """As is usual for it, of the size that the scale sets, where it sets one; inceptionv3 takes 299 px."""
    monkeypatch.setattr("gluon_tricks.paper.given.starting_point", lambda source, model: "true")
    own = get_model(name).preprocessing
    usual = (name, own.input_size, own.crop_ratio, own.mean, own.std)
    assert started_at("paper", name, tmp_path) == usual
    assert started_at("small", name, tmp_path) == (name, 64, *usual[2:])


def test_images_are_made_as_the_given_run_or_file_says(tmp_path):
    """The run's recipe, its network's keywords too; and what stands in a file of the converter's."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "final.params").touch()
    told = dict(model="resnet18_v1b", input_size=96, crop_ratio=0.5, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    (run / "recipe.json").write_text(json.dumps(Recipe(**told, net={"deep_stem": True}).to_json()))
    assert started_at("paper", run, tmp_path) == tuple(told.values())
    given = Runs(tmp_path, LITTLE_DATA_SCALES["paper"], networks={"": str(run)})
    assert given.cell("transfer_learning/new_classes/frozen_10", 0).recipe.net == {"deep_stem": True}
    net = get_model("resnet18_v1b", classes=3)
    net.initialize()
    net.preprocessing = Preprocessing(96, 0.5, told["mean"], told["std"])
    weights.save(net, tmp_path / "net.safetensors")
    assert started_at("paper", tmp_path / "net.safetensors", tmp_path) == tuple(told.values())


def test_a_cell_is_of_its_part_of_the_images(tmp_path):
    """The digest that a run tells is that of the images it has taken; another seed's are others. Where the cell that it
    started from lay decides nothing."""
    for split, count in (("train", 120), ("val", 20)):
        with RecordWriter(tmp_path / split, SYNSETS) as writer:
            for k in range(count):
                writer.add(k % 10, k, b"x")
    files = {split: (str(tmp_path / f"{split}.rec"),) for split in ("train", "val")}
    whole = Records(files["train"])
    runs = Runs(tmp_path / "runs", LITTLE_DATA_SCALES["small"], **files, digest=whole.digest)
    cell = runs.cell("transfer_learning/new_classes/frozen_10", 3)
    cell.folder.mkdir(parents=True)
    stored = cell.recipe.set(pretrained=f"/elsewhere/{cell.source.folder.parent.name}/seed0/final.params")
    (cell.folder / "recipe.json").write_text(json.dumps(stored.to_json()))
    (cell.folder / "metrics.csv").write_text("epoch,val_top1\n" + "1,0.5\n" * stored.epochs)
    for seed, fits in ((3, True), (4, False)):
        event = {"event": "start", "records": selected(whole, SYNSETS[5:], 10, seed).digest}
        (cell.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
        if fits:
            assert cell.is_done()
            continue
        with pytest.raises(Refused, match="other images"):
            cell.is_done()


@pytest.fixture
def thirty(tmp_path):
    """Records of two classes of one's own, the second of 30 images."""
    for split, counts in (("train", (60, 30)), ("val", (5, 5))):
        with RecordWriter(tmp_path / split, ["cats", "dogs"]) as writer:
            for k, label in enumerate([0] * counts[0] + [1] * counts[1]):
                writer.add(label, k, b"x")
    return tmp_path


@pytest.mark.parametrize("more", [["--plan"], ["--jobs", "1"]])
@pytest.mark.parametrize(
    "scale, says",
    [
        ("paper", "frozen_50: .*train.rec has 30 images of the class dogs, and 50 are asked for: name other images"),
        ("small", "takes images of the classes n03394916, .*, and .*train.rec has no n03394916, .*: name images of"),
    ],
)
def test_images_that_do_not_suffice_are_refused_before_the_first_cell(scale, says, more, thirty, capsys, monkeypatch):
    monkeypatch.setattr("gluon_tricks.paper.run_cells.run", lambda *rest: pytest.fail("it trains"))
    words = ["transfer_learning", "--scale", scale, "--data", str(thirty), "--runs", str(thirty / "runs")]
    assert reproduce.main([*words, *more]) == 2
    assert re.search(says, capsys.readouterr().err)


def test_a_plan_without_images_does_not_say_how_many_each_class_comes_to(tmp_path, monkeypatch):
    monkeypatch.setattr(Speeds, "of", lambda self, recipe, *rest, **more: Speed(100.0, 1000, 3))
    cells = Runs(tmp_path, LITTLE_DATA_SCALES["paper"]).cells(TABLE.name, (), ("frozen_10",), 1)
    line, total = estimate.plan(cells)
    assert line.endswith(": 30 epochs of 10 images of each class, whose number is not known without --data")
    assert total.startswith("1 cell, whose time is not known (")


def test_only_a_table_that_starts_from_a_network_takes_one(tmp_path, capsys):
    assert reproduce.main(["table6", "--scale", "smoke", "--network", "x", "--runs", str(tmp_path), "--plan"]) == 2
    assert "--network x: nothing of table6 starts from a trained network" in capsys.readouterr().err
    assert reproduce.main(["transfer_learning", "--scale", "small", "--runs", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "transfer_learning at the scale small is trained on the photos of Imagenette" in said and "--data" in said


def test_the_curves_are_means_and_spreads_over_seeds(tmp_path, monkeypatch):
    """Two seeds of frozen_10: 60 and 70 %, so 65; one of tuned_all; nothing where nothing was run."""
    runs = Runs(tmp_path, LITTLE_DATA_SCALES["smoke"])
    lines = compare(TABLE.name, runs, 2).sections[0].lines
    assert little_data.curves(lines) is None
    values = {"frozen_10": {0: 60.0, 1: 70.0}, "tuned_10": {0: 50.0}, "tuned_all": {0: 90.0}}
    monkeypatch.setattr("gluon_tricks.paper.line.Line.top", lambda line, k: values.get(line.key, {}))
    (panel,) = little_data.curves(lines).axes
    assert [list(line.get_ydata()) for line in panel.lines] == [[65.0], [50.0, 90.0]]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["2", "5", "all"]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == [
        "features frozen (seeds: 2)",
        "all trained (seeds: 1)",
    ]
    assert "top-1 against images of each class" in PICTURES[TABLE.name]
