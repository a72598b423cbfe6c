"""--resume auto: what it takes from the run, what may change, what is refused; and directories that runs claim."""

import json

import pytest

from gluon_tricks.cli import detect, segment, training
from gluon_tricks.cli import train as classify
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from gluon_tricks.recipes.named.detection_segmentation import DETECTION, SEGMENTATION
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tricks import Cosine, Mixup

ON = ["--resume", "auto", "-j", "1", "--num-gpus", "0"]


@pytest.fixture(scope="module")
def flags(tiny_records):
    files = ["--rec-train", tiny_records / "train.rec", "--rec-val", tiny_records / "val.rec"]
    net = ["--model", "cifar_resnet20_v1", "--input-size", "32", "--batch-size", "8", "--lr", "0.01"]
    return [str(word) for word in (*files, *net, "-j", "1", "--num-gpus", "0", "--picture-epochs", "0")]


def train(*words):
    return classify.main([str(word) for word in words])


def parameters(run):
    arrays, header = read_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    return {name: array.tobytes() for name, array in arrays.items()}, header["progress"]["step"]


def test_a_run_goes_on_for_longer(flags, tmp_path, capsys):
    """At a constant rate --resume auto --save-dir RUN --num-epochs 2 after one epoch is a run of two, to the bit."""
    constant = [*flags, "--lr-mode", "constant", "--mixup", "--no-wd"]
    assert train(*constant, "--num-epochs", 2, "--save-dir", tmp_path / "whole") == 0
    assert train(*constant, "--num-epochs", 1, "--save-dir", tmp_path / "run") == 0
    assert train(*ON, "--num-epochs", 2, "--save-dir", tmp_path / "run") == 0
    assert (
        "2 epochs in place of 1: the schedule (no decay) is that of 2 epochs, so the learning rate stays at 0.01; "
        in (capsys.readouterr().out)
    )
    assert parameters(tmp_path / "run") == parameters(tmp_path / "whole")
    stored = [json.loads((tmp_path / run / "recipe.json").read_text()) for run in ("run", "whole")]
    assert stored[0] == stored[1] and stored[0]["epochs"] == 2


def test_steps_to_come_follow_the_number_of_epochs(flags, tmp_path, capsys):
    """With --lr-decay-period 1 a run of one epoch that goes on for two is a run of two, to the bit; at another rate of
    the steps that are done, or of the same number of epochs, it is another recipe."""
    stepped = [*flags, "--lr-mode", "step", "--lr-decay-period", "1"]
    assert train(*stepped, "--num-epochs", 2, "--save-dir", tmp_path / "whole") == 0
    assert train(*stepped, "--num-epochs", 1, "--save-dir", tmp_path / "run") == 0
    for other in (("--num-epochs", 2, "--lr-decay-epoch", "0.5"), ("--num-epochs", 1, "--lr-decay-epoch", "7")):
        changed = [*flags, "--lr-mode", "step", *other]
        assert train(*changed, "--resume", "auto", "--save-dir", tmp_path / "run") == 2
        assert "step_decay.epochs was [1] and is [" in capsys.readouterr().err
    assert train(*stepped, "--resume", "auto", "--num-epochs", 2, "--save-dir", tmp_path / "run") == 0
    assert "the schedule (step_decay) is that of 2 epochs, so the learning rate was 0.01 and goes on with 0.001" in (
        capsys.readouterr().out
    )
    assert parameters(tmp_path / "run") == parameters(tmp_path / "whole")


@pytest.fixture(scope="module")
def run(flags, tmp_path_factory):
    """A run of one epoch, which is six steps, with a cosine decay."""
    run = tmp_path_factory.mktemp("run") / "run"
    assert train(*flags, "--lr-mode", "cosine", "--mixup", "--num-epochs", 1, "--save-dir", run) == 0
    return run


def test_what_other_epochs_make_of_the_schedule(run, capsys):
    """0.01 (1 + cos(5 pi/6))/2 = 0.0006699 in the last of 6 steps; 0.005 in the middle of 12."""
    assert train(*ON, "--save-dir", run, "--num-epochs", 2) == 0
    said = capsys.readouterr().out
    assert (
        "2 epochs in place of 1: the schedule (cosine) is that of 2 epochs, so the learning rate was 0.0006699 and "
        in (said)
    )
    assert "goes on with 0.005; until its end final.params is that of 1" in said
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    (event,) = [event for event in events if event["event"] == "epochs"]
    assert (event["step"], event["before"], event["now"]) == (6, 1, 2)
    assert event["lr_before"] == pytest.approx(0.0006699, abs=1e-7) and event["lr_now"] == pytest.approx(0.005)


@pytest.mark.parametrize(
    "words, says",
    [
        ("--wd 0.1", "(wd was 0.0001 and is 0.1): leave that out, as --resume auto --save-dir "),
        ("--mixup-alpha 0.4", "(mixup.alpha was 0.2 and is 0.4): leave that out"),
        ("--label-smoothing", "'mixup'] and is ['linear_scaling', 'cosine', 'mixup', 'label_smoothing'])"),
        ("--model cifar_resnet32_v1", "model was 'cifar_resnet20_v1' and is 'cifar_resnet32_v1'"),
        ("--seed 3", "(seed was 0 and is 3)"),
    ],
)
def test_what_decides_the_result_may_not_change(run, words, says, capsys):
    before = (run / "recipe.json").read_text()
    assert train(*ON, "--save-dir", run, *words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("refused: ") and says in line and "start another run: --save-dir NEW --resume-params" in line
    assert (run / "recipe.json").read_text() == before


def test_fewer_epochs_than_are_done(flags, run, capsys):
    """At step 12 of six an epoch: one is refused."""
    assert train(*ON, "--save-dir", run, "--num-epochs", 2) == 0
    assert train(*ON, "--save-dir", run, "--num-epochs", 1) == 2
    assert "--num-epochs 1: 2 epochs of the run are done already: give as many or more" in capsys.readouterr().err


def test_a_run_of_another_task(run, capsys):
    assert segment.main(["--resume", "auto", "--save-dir", str(run)]) == 2
    assert (
        "imagenet is a recipe of classification, and this command trains segmenters: use gluon-tricks train"
        in capsys.readouterr().err
    )


TASKS = [
    (classify, Recipe(name="x", data="few_shapes", epochs=3, batch_size=48, tricks=(Cosine(), Mixup(0.4, 1)))),
    (detect, DETECTION["few_scenes"].set(model="vgg16", dense_side=2, base_params="gone", seed=5)),
    (segment, SEGMENTATION["masks"].set(data="photos", classes=3, class_names=("a", "b", "c"), void=9)),
]


@pytest.mark.parametrize("script, recipe", TASKS, ids=[recipe.task for _, recipe in TASKS])
def test_what_no_flag_gives_is_the_runs(script, recipe, tmp_path, monkeypatch, capsys):
    """Of every task: everything, data and base network too."""
    seen = []

    def look(recipe, run, options):
        seen.append((recipe, run, options.resume))
        raise Refused("enough")

    monkeypatch.setattr(training, "train_and_evaluate", look)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert script.main([*ON, "--save-dir", str(tmp_path)]) == 2
    assert script.main([*ON, "--save-dir", str(tmp_path), "--num-epochs", "9", "--wd", "0.5"]) == 2
    recipe = recipe.resolved()
    assert seen == [(recipe, tmp_path, True), (recipe.set(epochs=9, wd=0.5), tmp_path, True)]
    assert capsys.readouterr().err == "refused: enough\n" * 2


@pytest.mark.parametrize("script", [classify, detect, segment])
@pytest.mark.parametrize("more", [(), ("--num-epochs", "3"), ("--set", "epochs=3")])
def test_a_name_that_is_mistyped(script, more, tmp_path, capsys):
    """Nothing in the command says what a new run would train: so it is not one."""
    (tmp_path / "shapes-1").mkdir()
    (tmp_path / "shapes-1" / "recipe.json").touch()
    said = []
    for name in ("shaeps-1", "xyz"):
        assert script.main([*ON, *more, "--save-dir", str(tmp_path / name)]) == 2
        said += capsys.readouterr().err.splitlines()
    assert said[0].startswith(
        f"refused: --resume auto: there is no run {tmp_path}/shaeps-1 (did you mean {tmp_path}/shapes-1?): check the"
    )
    assert said[1].startswith(f"refused: --resume auto: there is no run {tmp_path}/xyz: check the name, or say what a")
    assert [path.name for path in tmp_path.iterdir()] == ["shapes-1"]


@pytest.mark.parametrize(
    "words", [("--model", "resnet18_v1d"), ("--recipe", "shapes"), ("--set", "model=resnet18_v1d"), ()]
)
def test_a_run_that_is_not_there_is_said(words, tmp_path, monkeypatch):
    """It starts all the same: a job that is queued again has --resume auto from the beginning.

    So has one that the launcher starts again, whose words may be none: its run may have been lost before it began.
    """
    notes = []

    def look(recipe, run, options):
        notes.extend(options.notes)
        raise Refused("enough")

    monkeypatch.setattr(training, "train_and_evaluate", look)
    if not words:
        monkeypatch.setenv("GLUON_TRICKS_RESTARTED", "rank 1 ended by SIGKILL")
    assert train(*ON, *words, "--save-dir", tmp_path / "rnu") == 2
    said = f"--resume auto: no run has begun in {tmp_path / 'rnu'}, so a new one starts"
    assert (said in notes) == ("--recipe" not in words)


@pytest.mark.parametrize("words", [(), ("--rec-val", "{val}")])
def test_a_named_recipe_goes_on_with_the_runs_records(words, tiny_records, tmp_path, monkeypatch):
    """Its own are none: the run knows them, or the flags."""
    files = [str(tiny_records / f"{split}.rec") for split in ("train", "val")]
    stored = get_recipe("imagenette").set(train=(files[0],), val=("elsewhere.rec",), classes=4)
    (tmp_path / "recipe.json").write_text(json.dumps(stored.to_json()))
    seen = []
    monkeypatch.setattr(training, "train_and_evaluate", lambda recipe, *_: seen.append(recipe) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(*ON, "--recipe", "imagenette", "--save-dir", tmp_path, *(word.format(val=files[1]) for word in words))
    assert seen[0].train == (files[0],) and seen[0].val == ((files[1],) if words else ("elsewhere.rec",))


def test_a_recipe_of_masks_goes_on_where_the_runs_images_are(tmp_path, monkeypatch):
    stored = SEGMENTATION["masks"].set(data="photos", classes=3, class_names=("a", "b", "c"))
    (tmp_path / "recipe.json").write_text(json.dumps(stored.to_json()))
    (tmp_path / "given.json").write_text(json.dumps(stored.set(data="").to_json()))
    seen = []
    monkeypatch.setattr(training, "train_and_evaluate", lambda recipe, *_: seen.append(recipe.data) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segment.main([*ON, "--recipe", str(tmp_path / "given.json"), "--save-dir", str(tmp_path)])
    assert seen == ["photos"]


def test_another_recipe_is_named_before_what_follows_from_it(run, capsys):
    """Its batch of 1024 does not go into the run's 8, and it asks for ImageNet: neither is the mistake."""
    assert train(*ON, "--save-dir", run, "--recipe", "efficient", "--accumulate", "3") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"refused: {run} is a run of the recipe imagenet, and this is efficient (they differ in mo")
    assert line.endswith("leave --recipe out to continue the run, or start another with --save-dir NEW")


def test_a_refused_run_leaves_no_directory_and_one_that_begins_takes_the_next(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train(*flags, "--batch-size", "999") == 2
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs" / "imagenet-1").mkdir(parents=True)  # of another one that has just started
    assert train(*flags, "--num-epochs", "1") == 0
    assert "everything about it is in runs/imagenet-2" in capsys.readouterr().out
    assert train(*ON, "--rec-train", flags[1], "--rec-val", flags[3]) == 0  # the one that has begun
    assert "everything about it is in runs/imagenet-2" in capsys.readouterr().out
