"""The part of docs/model_zoo.md that lists the parameter files that there are for each network."""

from __future__ import annotations

from model_zoo import list_gluoncv_models, list_models
from model_zoo.published import PUBLISHED, Published
from model_zoo.timm_files import FILES, TimmFile, copy_of

BEGINNING = """\
## Weights to download

What `pretrained=` takes beside a path, and SRC of the commands without its quotation marks (`resnet50_v1d/117a384e` in
place of a tag alone). `True` is GluonCV's default file: of `~/.mxnet/models`, else timm's copy of it in the cache of
the Hugging Face hub, else from GluonCV's server, which has failed for people since 2024, else timm's copy from the hub.
[weights.md](weights.md#files-at-the-hugging-face-hub) says more. `tv` and `tv2` are torchvision's files; timm has none
of `googlenet` and `alexnet`, whose files of torchvision are given by their path. For networks that are not listed there
are no files.

Accuracies are percent on ImageNet's validation images (CIFAR-10's test images for the CIFAR networks), by GluonCV's
page and by timm's results, there for images of one or two sizes; none is measured here. timm resizes photos otherwise
than this program (a line says so), and its MobileNet has ReLU6. Licences are those that timm's registry names; files
under `cc-by-nc-4.0` may not be used commercially.
"""
HEAD = ("network", "`pretrained=`", "what it is", "licence", "top-1 / top-5 (px)")


def rows() -> list[tuple[str, ...]]:
    """The table, a file a row."""
    table = []
    for name in (*list_models(), *list_gluoncv_models()):
        copy = copy_of(name)
        for k, file in enumerate(PUBLISHED.get(name, ())):
            table.append((f"`{name}`", _tag(file, k == 0), _gluoncv_s(file), "", _percent(file.top1, file.top5)))
        for file in FILES.get(name, ()):
            what = "timm's copy of GluonCV's default" if file == copy else "timm's"
            table.append((f"`{name}`", f'`"{file.reference}"`', what, file.licence, _scores(file)))
    return table


def _tag(file: Published, default: bool) -> str:
    return f'`True`, `"{file.tag}"`' if default else f'`"{file.tag}"`'


def _gluoncv_s(file: Published) -> str:
    return f"GluonCV's, sha1 {file.sha1 or f'{file.tag}...'}{', ' + file.note if file.note else ''}"


def _scores(file: TimmFile) -> str:
    return ", ".join(f"{_percent(top1, top5)} ({side})" for side, top1, top5 in file.scores)


def _percent(*scores: float | None) -> str:
    return " / ".join("–" if score is None else f"{score:.2f}" for score in scores)
