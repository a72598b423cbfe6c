"""README and docs: their links lead somewhere, their numbers are the code's and the records', their words are plain."""

import ast
import csv
import functools
import json
import pathlib
import re

import numpy as np
import pytest

from benchmarks import measured_page, scaling_fit, scaling_own, scaling_page, scaling_words
from benchmarks.records import CASES
from gluon_tricks.paper import power
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.paired import Effect, could_tell
from gluon_tricks.paper.scales import SCALES
from gluon_tricks.recipes.named.detection_segmentation import DETECTION, SEGMENTATION
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe, get_table, list_recipes
from gluon_tricks.tasks.detection.settings import ROI_SETTINGS
from model_zoo import list_models

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
SOURCES = [
    path for folder in ("gluon_tricks", "model_zoo", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))
]
# What has to be read twice, and how it is said instead.
WORDS = {
    r"st(?:ands?|ood|anding) still": "hangs",
    r"\b(?:can|cannot|to) be had\b": "is missing, cannot be downloaded",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\btells?\b[^.\n]{0,40}\bapart\b": "has K classes, distinguishes",
    r"\b(?:does|do|goes|went) without\b": "skips, leaves out",
    r"\bsaying so\b": "and a line reports it",
}


@functools.cache
def text_of(page):
    return PAGES[page].read_text(encoding="utf-8")


def prose(page):
    return " ".join(text_of(page).split())


def records(*parts):
    """The rows of a CSV file in results."""
    with (ROOT / "results").joinpath(*parts).open(newline="") as file:
        return list(csv.DictReader(file))


def anchors(page):
    """As GitHub makes them of headings: lower case, only letters, digits, blanks and hyphens, blanks as hyphens."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_readme_is_one_page():
    assert len(text_of("README.md").splitlines()) <= 180


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme():
    assert {page for page in PAGES if f"({page}" not in text_of("README.md")} == {"README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_it_plainly(page):
    assert not [found.group() for word in WORDS for found in re.finditer(word, prose(page), re.IGNORECASE)]


def test_the_code_says_it_plainly():
    """Messages, help and docstrings: every string of the code."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                hits = [m.group() for word in WORDS for m in re.finditer(word, node.value, re.IGNORECASE)]
                found += [f"{path.relative_to(ROOT)}:{node.lineno}: {hit}" for hit in hits]
    assert not found, WORDS


def test_the_banned_words_are_found():
    said = "a rank stands still; the file cannot be had; it has to be had; mend it; tells 5 classes apart; does without"
    assert all(re.search(word, f"{said}, saying so") for word in WORDS)
    assert not any(re.search(word, "amend a recommended part; a tell-tale; without") for word in WORDS)


def test_the_table_of_many_records():
    measured = json.loads((ROOT / "results" / "benchmark-records.json").read_text())["seconds_and_megabytes"]
    assert set(measured) == set(CASES)
    for case, (images, _, files) in CASES.items():
        of = {key: np.median([one[key] for one in measured[case]]) for key in measured[case][0]}
        seconds = " | ".join(f"{of[f'{what}_seconds']:.1f} s" for what in ("open", "count", "shuffle"))
        assert f"| {images:,} | {files:,} | {seconds} | {of['megabytes']:.0f} MB |" in text_of("docs/photos.md")
        assert of["rec_kilobytes"] == files * (4 + 8 + 64) / 1000 and of["open_files"] == min(files, 1024 // 4)


def test_the_number_of_networks():
    assert f"- {len(list_models())} networks by name" in text_of("README.md")


@pytest.mark.parametrize("name", list_recipes(Recipe))
def test_the_table_of_recipes(name):
    recipe = get_recipe(name).resolved()
    row = (
        f"| `{name}` | {recipe.model} | {recipe.input_size} px | {recipe.epochs} | {recipe.batch_size} "
        f"| {recipe.base_lr():g} | {recipe.dtype} | {recipe.augment} |"
    )
    assert row in text_of("docs/training.md")


@pytest.mark.parametrize("name", ["voc", "scenes"])
def test_the_table_of_detection(name):
    r = DETECTION[name]
    sides = f"{r.short}, {r.long} px"
    row = f"| `{name}` | {r.model} | {r.epochs} | {r.batch_size} | {r.lr:g} | {r.wd:g} | {sides} | {r.roi} |"
    assert row in text_of("docs/transfer.md")


@pytest.mark.parametrize("name", ["ade20k", "masks", "scenes"])
def test_the_table_of_segmentation(name):
    r = SEGMENTATION[name]
    row = f"| `{name}` | {r.model} | {r.epochs} | {r.batch_size} | {r.lr:g} | {r.crop} px | {r.base_size} px |"
    assert row in text_of("docs/transfer.md")


def test_the_sentences_on_detection_and_segmentation():
    small, voc, ade20k = ROI_SETTINGS["small"], DETECTION["voc"], SEGMENTATION["ade20k"]
    warmup, step = voc.tricks
    assert (step.by, ade20k.head_lr) == (0.1, 10)
    for sentence in (
        f"{small.roi_size}x{small.roi_size} regions, {small.roi_samples} of an image, {small.proposals} proposals",
        f"the detector trains for {DETECTION['scenes'].epochs} epochs and the segmenter for "
        f"{SEGMENTATION['scenes'].epochs}",
        f"divided by ten at epoch {step.epochs[0]}",
        f"an auxiliary head with weight {ade20k.aux_weight:g} on stage 3",
        f"(1 - t/T)^{ade20k.tricks[0].power:g}; the heads have ten times",
    ):
        assert sentence in prose("docs/transfer.md")
    assert (round(warmup.epochs * 4137), warmup.start_factor) == (500, 1 / 3)  # 16551 images, four a step
    assert "500 steps from a third of the rate" in prose("docs/transfer.md")


@pytest.mark.parametrize("name", SCALES)
def test_the_table_of_scales(name):
    def part(factor):
        return "1" if factor == 1 else f"1/{1 / factor:.0f}"

    scale = SCALES[name]
    side = f"{scale.set['input_size']} px" if scale.set else "the network's own"
    row = next(line for line in text_of("docs/paper.md").splitlines() if line.startswith(f"| `{name}` |"))
    _, _, epochs, batch, sides, *_ = (cell.strip() for cell in row.split("|"))
    assert (epochs.split(":")[0], batch, sides) == (part(scale.epochs), part(scale.batch_size), side)
    tables = [*map("table{}".format, range(1, 8)), "modern"]
    fixed = [name for name in tables if get_table(name).proxy.get("batch_size") == 64]
    assert fixed == ["table1", "table5", "table6", "table7", "modern"]
    assert "Tables 1, 5, 6, 7 and `modern` have batches of 64" in prose("docs/paper.md")


def test_the_epochs_of_the_longer_proxy():
    rows = {row: SCALES["long"].recipe(get_table("table6"), "resnet50_v1d", row) for row in ("smooth", "mixup")}
    assert f"1/4: {rows['smooth'].epochs}, rows with mixup {rows['mixup'].epochs} |" in text_of("docs/paper.md")


def compared(table, column, scale="imagenette"):
    """{row's label: what stands in it, heading by heading} of a column of a table in results."""
    text = (ROOT / "results" / "tables" / scale / f"{table}.md").read_text(encoding="utf-8")
    section = next(part for part in text.split("\n## ") if part.startswith(f"{column}:"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    return {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}


def scores_of(row):
    """(The paper's first score, ours without the number of its seeds) of a recorded row."""
    return row["Paper"].split(" / ")[0], re.sub(r" \(\d\)$", "", list(row.values())[2])


@pytest.mark.parametrize(
    "title, table, column, scale",
    [
        ("table 4, batch 256", "table4", "256", "imagenette"),
        ("table 5", "table5", "resnet50", "imagenette"),
        ("table 6, ResNet-50-D", "table6", "resnet50_v1d", "imagenette"),
        ("table 6, MobileNet", "table6", "mobilenet1.0", "imagenette"),
        ("table 6, ResNet-50-D, at `long`", "table6", "resnet50_v1d", "long"),
        ("table 6, MobileNet, at `long`", "table6", "mobilenet1.0", "long"),
    ],
)
def test_the_papers_tables_are_those_of_the_records(title, table, column, scale):
    shown = text_of("docs/paper.md").split(f"| {title} |")[1].split("\n\n")[0]
    heading, _, *lines = shown.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    seeds = re.search(r"\d seeds", heading)[0]
    told = {label: row for label, row in compared(table, column, scale).items() if row["Ours, top-1"] != "not run"}
    assert len(rows) == len(told)
    names = ("Paper's difference", "Our difference", "95 % interval", "p, Holm's p", "Could tell")
    for (label, *numbers), (recorded, row) in zip(rows, told.items()):
        assert re.split(r" \(|, ", label)[0] == re.split(r" \(|, ", recorded)[0]
        assert numbers == [*scores_of(row), *(row[name].removesuffix(f" ({seeds})") for name in names)]


def test_what_could_be_told_is_as_the_plan_has_it(tmp_path):
    first, cosine, *_ = power.plan("table6", Runs(tmp_path, SCALES["long"]), 5)
    assert f"--seeds 5 --plan\n...\n{first}\n{cosine}\n```" in text_of("docs/paper.md")
    _, cosine, *_ = power.plan("table6", Runs(tmp_path, SCALES["imagenette"]), 5)
    seeds = re.search(r"takes (\d+) seeds", cosine)[1]
    assert f"the paper's +0.47 of cosine decay would take {seeds} seeds" in prose("docs/paper.md")


def test_what_exceeds_its_noise_is_as_the_records_have_it():
    columns = [("table4", "256"), ("table5", "resnet50"), ("table6", "resnet50_v1d"), ("table6", "mobilenet1.0")]
    marks = {
        (column, label): row["Our difference"][-1]
        for table, column in columns
        for label, row in compared(table, column).items()
        if row["Our difference"]
    }
    assert {key for key, mark in marks.items() if mark == "*"} == {
        ("resnet50", "ResNet-50-D"), ("resnet50_v1d", "+ cosine decay"),
    }  # fmt: skip
    assert sum(mark in "*~" for mark in marks.values()) == 16
    assert "Of the sixteen differences tested at `imagenette` two exceed their noise" in prose("docs/paper.md")


@pytest.mark.parametrize(
    "heading, table, columns",
    [
        ("scaling", "magic_table1", ("sgd_gaussian", "sgd_kmeans", "adam_gaussian", "adam_kmeans")),
        ("initialisation", "magic_table2", ("classification",)),
    ],
)
def test_the_tables_of_initialisation_are_those_of_the_records(heading, table, columns):
    """The document's number as its table has it, and ours as the record has it, if there is one; or how it ended."""
    shown = text_of("docs/paper.md").split(f"\n| {heading} |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.splitlines()[2:]]
    recorded = (ROOT / "results" / "tables" / "small" / f"{table}.md").is_file()
    for k, column in enumerate(columns, start=1):
        told = compared(table, column, "small") if recorded else {}
        assert [row[0] for row in rows] == [row.label for row in get_table(table).rows]
        for row, own in zip(rows, get_table(table).rows):
            ours = scores_of(told[own.label])[1] if recorded else "-"
            ours = "diverges" if "the loss of step" in ours else ours
            assert row[k] == f"{own.paper[column][0]:.2f}, {ours}"


def test_the_scores_of_unequal_classes_are_those_of_the_record():
    """The classes are in the order of their size."""
    record = json.loads((ROOT / "results" / "balance" / "imagenette160.json").read_text())
    sizes = record["training_images"]
    assert f"from {sizes[0]} to {sizes[-1]} photos" in prose("docs/training.md")
    assert f"{record['recipe']['epochs']} epochs" in prose("docs/training.md") and sizes == sorted(sizes, reverse=True)
    for way, scores in record["ways"].items():
        recall = scores["recall"]
        parts = (sum(part) / len(part) for part in (recall, recall[:3], recall[-3:]))
        assert f"| {way} | {' | '.join(f'{100 * share:.1f} %' for share in parts)} |" in text_of("docs/training.md")


def test_the_errors_of_cvjenas_models_are_those_of_the_records():
    shown = text_of("docs/paper.md").split("\n| cvjena at `small` |")[1].split("\n\n")[0]
    told = {}
    for table in ("cvjena_table1", "cvjena_figure1", "cvjena_bn"):
        for line in (ROOT / "results/tables/small" / f"{table}.md").read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            scores = [cell for cell in cells[2:] if re.fullmatch(r"[\d.]+( ± [\d.]+)? \(\d\)", cell)]
            if len(scores) == 2:
                told[tuple(score.replace(" (3)", "") for score in scores)] = cells[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.splitlines()[2:]]
    assert len(rows) == len(told) == 6
    for _, document, top1, top5 in rows:
        assert told[top1, top5].replace("- / -", "-") == document


@pytest.mark.parametrize(
    "heading, table, columns",
    [
        ("degradation at `small`", "degradation", (1, 2, 3)),
        ("transfer at `small`", "transfer_learning", (2,)),
    ],
)
def test_the_tables_of_the_winners_are_those_of_the_records(heading, table, columns):
    """Their first column is the record's; then these of its columns, without the number of seeds."""
    shown = text_of("docs/paper.md").split(f"\n| {heading} |")[1].split("\n\n")[0]
    text = (ROOT / "results" / "tables" / "small" / f"{table}.md").read_text(encoding="utf-8")
    rows, recorded = (
        [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("| ")]
        for part in (shown, text)
    )
    told = {row[0]: [re.sub(r" \(\d\)$", "", row[k]) for k in columns] for row in recorded}
    assert len(rows) >= 4 and all(told[row[0]] == row[1:] for row in rows)


def gained(part, kind):
    points = part[f"top1_{kind}"]
    return f"{100 * points['difference']:+.2f} ({100 * points['low']:+.2f} to {100 * points['high']:+.2f})"


def test_what_more_views_and_networks_gain_is_as_recorded():
    page, read = prose("docs/training.md"), {}
    for name in ("alexnet", "alexnet-1crop", "resnet10-1crop"):
        read[name] = json.loads((ROOT / "results" / "testing" / f"{name}.json").read_text(encoding="utf-8"))
    views = [member["additions"] for member in read["alexnet"]["members"]]
    rows = {"1 crop": [f"{100 * each[0]['top1']:.2f}" for each in views]}
    for k, addition in enumerate(views[0][1:], start=1):
        rows[addition["label"]] = [gained(each[k], "gain") for each in views]
    rows["all of it"] = [gained(each[-1], "whole_gain") for each in views]
    assert len(rows) == 5 and all(f"| {' | '.join([label, *cells])} |" in page for label, cells in rows.items())
    for name, found in read.items():
        assert gained(found["ensemble"], "gain") in page
        assert name == "resnet10-1crop" or f"{100 * found['ensemble']['top1']:.2f} %" in page
    tops = [f"{100 * member['additions'][0]['top1']:.2f}" for member in read["resnet10-1crop"]["members"]]
    assert f"({tops[0]}, {tops[1]} and {tops[2]} %, one crop)" in page


def test_the_readmes_scores_are_those_of_the_records():
    readme = prose("README.md")
    for epoch in records("shapes", "augment-paper.csv"):
        top1, top5 = (f"{100 * float(epoch[key]):.2f}%" for key in ("val_top1", "val_top5"))
        losses = f"val loss {float(epoch['val_loss']):.3f}, train loss {float(epoch['train_loss']):.3f}"
        assert f"epoch {epoch['epoch']}/5: top-1 {top1}, top-5 {top5}, {losses}" in readme
    photos = records("imagenette160-resnet18_v1d", "metrics.csv")[-1]
    boxes = records("transfer", "faster_rcnn_scenes", "metrics.csv")[-1]
    masks = records("transfer", "fcn_scenes", "metrics.csv")[-1]
    for score in (
        f"10 epochs | {100 * float(photos['val_top1']):.2f} % top-1",
        f"4 epochs | {100 * float(boxes['val_map07']):.1f} % mAP (11 points)",
        f"4 epochs | {100 * float(masks['val_pix_acc']):.1f} % pixAcc, {100 * float(masks['val_miou']):.1f} % mIoU",
    ):
        assert score in readme


def test_the_readmes_speeds_are_those_of_the_records():
    rows = [row for row in measured_page.speeds() if row not in text_of("README.md").splitlines()]
    assert not rows


def test_the_house_is_as_it_is_told():
    """Every package has its row; every file that is named is there."""
    page = text_of("docs/house.md")
    for folder in (ROOT / "gluon_tricks").iterdir():
        if (folder / "__init__.py").is_file():
            assert f"| `{folder.name}` |" in page
    for row in re.findall(r"^\| `(\w+)/?` \|(.*)\|$", page, re.MULTILINE):
        room = ROOT / "gluon_tricks" / row[0]
        room = room if room.is_dir() else ROOT / row[0]
        assert all(
            (room / name).exists() for name in re.findall(r"`([\w/]+(?:\.py|/))`", row[1]) if "scripts" not in name
        )
    for path in re.findall(r"`((?:gluon_tricks|model_zoo|tests)/[\w/]+(?:\.py|/))`", page):
        assert (ROOT / path).exists(), path


def test_what_is_said_of_scaling_is_as_the_model_has_it():
    """The table, the constants, the errors and the example; tests/benchmarks/test_scaling_fit.py holds the model."""
    found = json.loads((ROOT / "results" / "scaling" / "model.json").read_text(encoding="utf-8"))
    page, text = text_of("docs/multi_node.md"), prose("docs/multi_node.md")
    assert scaling_page.with_tables(page, found) == page
    assert len(found["own"]) == len(scaling_own.own()) and len(found["published"]) == len(scaling_fit.published()[1])
    constants, errors = found["constants"], found["errors"]
    rdma, tcp = (f"{1e6 * constants[f'{transport}_step']:.0f}" for transport in ("rdma", "tcp"))
    for sentence in (
        f"({100 * constants['rdma']:.0f} % by RDMA, {100 * constants['tcp']:.0f} % by TCP)",
        f"({rdma} and {tcp} µs)",
        f"deviation of a rank's step ({100 * constants['jitter']:.1f} %)",
        f"Of {len(found['published'])} published efficiencies the predictions are off by {errors['median']:.3f} "
        f"(median), nine in ten by at most {errors['nine_in_ten']:.3f}, the worst by {errors['largest']:.3f}.",
    ):
        assert sentence in text
    command, shown = re.search(r"scaling --predict (.*?)\n```\n.*?```\n(.*?)\n```", page, re.DOTALL).groups()
    assert shown.splitlines() == scaling_words.tell(command.replace("\\", "").split())[1:4]


def ends(*folders):
    """The score at the end of three seeds: of the last epoch, or what was scored after it, in percent."""
    found = []
    for seed in range(3):
        run = ROOT.joinpath("results", "tables", *folders, f"seed{seed}")
        told = run / "events.jsonl"
        final = json.loads(told.read_text().splitlines()[-1])["scores"] if told.is_file() else {}
        last = records(*run.relative_to(ROOT / "results").parts, "metrics.csv")[-1]
        mean = [value for key, value in final.items() if "11 points" in key]
        found.append(100 * (mean[0] if mean else float(last["val_top1"])))
    return found


@pytest.mark.parametrize(
    "before, after, also",
    [
        (("imagenette", "table5-resnet50-v1d"), ("imagenette", "table6-resnet50_v1d-distill_mixup"), (10,)),
        (("small", "magic_table1-adam_gaussian-none"), ("small", "magic_table1-adam_kmeans-both"), ()),
    ],
)
def test_the_readmes_differences_are_those_of_the_records(before, after, also):
    effect = Effect(tuple(np.subtract(ends(*after), ends(*before))))
    low, high = effect.interval
    said = f"{effect.mean:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}; 3 seeds could tell {effect.could_tell:.2f}"
    said += "".join([f" points, {n} seeds {could_tell(effect.spread, n):.2f}" for n in also])
    assert said in prose("README.md")


def long_row(column, row):
    """The recorded row of table 6 at the scale long, and our difference in it."""
    found = compared("table6", column, "long")[row]
    return found, float(found["Our difference"][:-2]), found["Our difference"][-1]


def test_the_words_on_the_scale_long_are_those_of_the_records():
    text = prose("docs/paper.md")
    _, of_resnet, marked = long_row("resnet50_v1d", "+ cosine decay")
    _, of_mobilenet, also = long_row("mobilenet1.0", "+ cosine decay")
    assert (
        f"{of_resnet:.1f} points are left of them, and of the MobileNet's ten {of_mobilenet:.1f}; both exceed" in text
    )
    assert marked == also == "*"
    row, lost, marked = long_row("mobilenet1.0", "+ label smoothing")
    papers = row["Paper's difference"]
    assert f"it costs the MobileNet {-lost:.1f} points, where the paper has {papers}: an interval without 0" in text
    assert marked == "~" and float(row["95 % interval"].split(" to ")[1]) < 0
    row, gained, marked = long_row("resnet50_v1d", "+ label smoothing")
    papers, (low, high) = row["Paper's difference"], map(float, row["95 % interval"].split(" to "))
    could, seeds = re.fullmatch(r"(.*) \((\d) seeds\)", row["Could tell"]).groups()
    assert f"gains {gained:.1f}, which may be noise. A gain as large as the paper's {papers} is not there" in text
    assert f"it is above the interval, and {seeds} seeds could tell {could} points" in text
    assert marked == "~" and low < 0 < high < float(papers) > float(could)
    _, gained, marked = long_row("mobilenet1.0", "+ mixup w/o distill")
    assert f"**Mixup of the MobileNet** gains {gained:.1f} points at `long`, in 50 epochs" in text and marked == "~"
    first, cosine = (
        [
            float(records("tables", "long", f"table6-mobilenet1.0-{row}/seed{seed}", "metrics.csv")[-1]["val_top1"])
            for seed in range(3)
        ]
        for row in ("efficient", "cosine")
    )
    assert f"differences there are equal to {100 * np.ptp(np.subtract(cosine, first)):.2f} points is chance" in text


def test_the_errors_at_the_scale_long_are_those_of_the_records():
    text = prose("docs/paper.md")
    said = {
        "mobilenet1.0": "errs on {} of its training images, as augmented, and on {} of the",
        "resnet50_v1d": "errs on {} and {} of",
    }
    for column, words in said.items():
        folder = ROOT / "results" / "tables" / "long" / f"table6-{column}-cosine"
        runs = [f"{folder.name}/{run.name}" for run in sorted(folder.glob("seed*"))]
        assert len(runs) >= 3
        ends = [records("tables", "long", run, "metrics.csv")[-1] for run in runs]
        train = np.mean([float(row["train_error"]) for row in ends])
        val = 1 - np.mean([float(row["val_top1"]) for row in ends])
        assert words.format(f"{100 * train:.1f} %", f"{100 * val:.1f} %") in text


def test_what_is_said_of_reduced_decoding_is_as_the_records_have_it():
    runs = {how: [records("decode", f"{how}-seed{seed}.csv") for seed in range(3)] for how in ("whole", "reduced")}
    ends = {how: np.array([100 * float(rows[-1]["val_top1"]) for rows in found]) for how, found in runs.items()}
    effect = Effect(tuple(ends["reduced"] - ends["whole"]))
    low, high = effect.interval
    seconds = {how: [sum(1 / float(row["images_per_second"]) for row in rows) for rows in runs[how]] for how in runs}
    share = np.median(np.divide(seconds["reduced"], seconds["whole"]))
    averaged = json.loads((ROOT / "results" / "decode" / "averaged.json").read_text(encoding="utf-8"))
    whole, reduced = (100 * np.mean(averaged[how]) for how in ("whole", "reduced"))
    for sentence in (
        f"took {share:.2f} of the time, and ended at {ends['reduced'].mean():.2f} % in place of "
        f"{ends['whole'].mean():.2f} % (three seeds, {effect.mean:+.2f}, 95 % interval {low:+.2f} to {high:+.2f})",
        f"these networks have {reduced:.2f} %, and those of whole images {whole:.2f} %",
    ):
        assert sentence in prose("docs/training.md")


def test_what_is_said_of_imagenette_fast_is_as_the_records_have_it():
    found = {}
    for name in ("imagenette_fast", "imagenette_fast-0.9.3", "imagenette_fast-0.9.1"):
        rows = records("time_to_accuracy", f"{name}-epochs.csv")
        images = 9469 // 64 * 64
        seconds = sum(images / float(row["images_per_second"]) for row in rows)
        found[name] = f"{100 * float(rows[-1]['val_top1']):.2f} %", len(rows), f"{seconds:.0f} s"
    rates = json.loads((ROOT / "results" / "time_to_accuracy" / "imagenette_fast-machine.json").read_text())
    float32, bfloat16 = (np.median(rates[dtype]) for dtype in ("float32", "bfloat16"))
    assert f"multiplies matrices at {float32:.0f} and {bfloat16:.0f} GFLOP/s" in prose("docs/measured.md")
    (top1, epochs, seconds), (shorter, fewer, sooner), (before, _, then) = found.values()
    text = prose("docs/measured.md")
    assert f"tested at 160: {top1} top-1 after {epochs} epochs, {seconds} of training (one seed" in text
    assert f"{fewer} epochs without TrivialAugment ended at {shorter} after {sooner}" in text
    assert f"before that at {before} after {then}" in text


def test_what_is_said_of_cifar_fast_is_as_the_records_have_it():
    rows, processor = (records("time_to_accuracy", f"cifar_fast-{what}.csv") for what in ("epochs", "processor"))
    rows, processor = list(rows), list(processor)
    last = processor[-1]
    assert int(last["epoch"]) == len(rows) == get_recipe("cifar_fast").epochs
    top1, text = f"{100 * float(rows[-1]['val_top1']):.2f} %", prose("docs/measured.md")
    assert f"for {len(rows)} epochs, the first half on 24 px: {top1} top-1 of the 10,000 test images" in text
    assert f"it took {last['processor_seconds']} s of processor time" in text

    tops = [float(row["val_top1"]) for row in records("time_to_accuracy", "cifar_fast-long-epochs.csv")]
    share, mark = float(rows[-1]["val_top1"]) / tops[-1], 0.98 * tops[-1]
    passed = next(epoch for epoch, top in enumerate(tops, start=1) if top >= mark)
    seconds = {int(row["epoch"]): float(row["processor_seconds"]) for row in processor}
    small, half = seconds[len(rows) // 2] / (len(rows) // 2), len(tops) // 2
    large = (seconds[len(rows)] - seconds[len(rows) // 2]) / (len(rows) // 2)
    about = 100 * round((half * small + (passed - half) * large) / 100)
    assert (
        f"for {len(tops)} epochs ends at {100 * tops[-1]:.2f} %" in text
        and f"{share:.1%} of that".replace("%", " %") in text
    )
    assert f"98 %, {100 * mark:.2f} %, the long run passes after {passed} epochs, about {about} s by what" in text


def test_the_words_on_modern_are_those_of_the_cells():
    cells = ("modern-resnet50_v1d-trivial", "table6-resnet50_v1d-mixup")
    cells += ("modern-resnet50_v1b-paper", "modern-resnet50_v1b-a3")
    runs = [records("tables", "imagenette", cell, "seed0", "metrics.csv") for cell in cells]
    trivial, without, baseline, a3 = (f"{100 * float(rows[-1]['val_top1']):.2f} %" for rows in runs)
    text = prose("docs/paper.md")
    assert f"with TrivialAugment {trivial} top-1 beside {without} of the same seed" in text
    assert f"baseline, four epochs long, {baseline}, and A3, five epochs, {a3}" in text
    assert [len(rows) for rows in runs] == [10, 10, 4, 5]


def test_the_words_on_transfer_are_those_of_the_record():
    rows = list(records("tables", "small", "transfer_learning.csv"))
    tuned = {row["row"]: row for row in rows if row["row"].startswith("tuned") and row["mean_difference"]}
    means = [f"{float(tuned[f'tuned_{count}']['mean_difference']):.2f}" for count in (10, 50, "all")]
    assert f"by {means[0]}, {means[1]} and {means[2]} points" in prose("docs/paper.md")
    worst = max(float(row["p_holm"]) for row in tuned.values())
    assert worst < 0.05 and f"Holm's p {worst:.3f} and less" in prose("docs/paper.md")
    base = records("tables", "small", "transfer_learning-other_classes-base", "seed0", "metrics.csv")[-1]
    assert f"the network has {100 * float(base['val_top1']):.2f} % top-1" in prose("docs/paper.md")
