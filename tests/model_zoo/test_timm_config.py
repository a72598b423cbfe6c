"""What config.json of a repository says, and what it is refused for."""

import json
import time

import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import timm_config

NESTED = {"input_size": [3, 224, 224], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.95}


def read(tmp_path, content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / "config.json").write_bytes(content)
    return timm_config.read(tmp_path / "config.json", "hf-hub:me/net")


def config(**said):
    return {"architecture": "resnet50d", "num_classes": 2, "pretrained_cfg": NESTED, **said}


def test_what_it_says(tmp_path):
    said = read(tmp_path, config())
    assert (said.architecture, said.model, said.classes, said.notes) == ("resnet50d", "resnet50_v1d", 2, ())
    assert said.preprocessing.mean == (123.675, 116.28, 103.53) and said.preprocessing.std == (58.395, 57.12, 57.375)
    assert (said.preprocessing.input_size, said.preprocessing.crop_ratio) == (224, 0.95)
    assert said.preprocessing.classes is None


def test_before_timm_0_8_all_stood_on_one_level(tmp_path):
    said = read(tmp_path, {"architecture": "gluon_resnet50_v1d", "num_classes": 2, "labels": ["a", "b"], **NESTED})
    assert said.model == "resnet50_v1d" and said.preprocessing.classes == ("a", "b")


@pytest.mark.parametrize("name", ["resnetblur18", "resnetblur50", "resnetblur50d", "resnetblur101d"])
def test_blurred_networks_are_ours_with_a_keyword(name, tmp_path):
    said, plain = (read(tmp_path, config(architecture=each)) for each in (name, name.replace("blur", "")))
    assert (said.architecture, said.model, said.keywords) == (name, plain.model, {"blur": True})
    assert plain.keywords == {}


def test_names_by_number(tmp_path):
    assert read(tmp_path, config(label_names={"1": "b", "0": "a"})).preprocessing.classes == ("a", "b")
    assert read(tmp_path, config(label_names={"7": "b"})).preprocessing.classes is None  # not of every class


def test_what_timm_does_otherwise(tmp_path):
    said = read(
        tmp_path,
        config(
            pretrained_cfg={**NESTED, "interpolation": "bicubic", "crop_mode": "squash", "test_input_size": [3, 9, 9]}
        ),
    )
    assert said.notes == (
        "timm tests it at 9 px with crop ratio 0.95",
        "timm resizes photos by 'bicubic' interpolation and this program bilinearly",
        "timm crops in the mode 'squash' and this program the centre",
    )
    relu6 = read(tmp_path, config(architecture="mobilenetv1_100"))
    assert relu6.notes == ("timm's network has ReLU6 where this one has ReLU, so its logits are others",)
    assert not read(tmp_path, config(architecture="mobilenetv1_100", model_args={"act_layer": "relu"})).notes


@pytest.mark.parametrize(
    "content, says",
    [
        (
            config(architecture="resnet50x"),
            "holds a 'resnet50x', which the zoo does not have: it has .*resnet50d .resnet50_v1d here.",
        ),
        (
            config(architecture="vit_base_patch16_224"),
            "holds a 'vit_base_patch16_224', which the zoo does not have: it",
        ),
        (config(architecture="x" * 10**6), "which the zoo does not have"),
        ({"architectures": ["ResNetForImageClassification"], "model_type": "resnet"}, "of transformers .*ResNetFor"),
        ({"hello": 1}, "that names no architecture of timm's"),
        (config(architecture=3), "that names no architecture of timm's"),
        (config(num_classes=0), "it has no head"),
        (config(num_classes=-1), "it has no number of classes"),
        (config(num_classes=True), "it has no number of classes"),
        (config(num_classes="2"), "it has no number of classes"),
        (config(num_classes=10**400), "it has no number of classes .num_classes is a whole number of about 400 digits"),
        (config(global_pool="max"), "was built with 'global_pool' = 'max'"),
        (config(model_args={"stem_width": 64}), "was built with 'stem_width' = 64, and the zoo's is not"),
        (config(model_args={"in_chans": 1}), "'in_chans' = 1"),
        (config(model_args=["x"]), "cannot be used"),
        (config(label_offset=1), "begin at class 1"),
        (config(label_names=["a"]), "label_names has 1 name for 2 classes"),
        (config(label_names=["a", 2]), "label_names is no list of names"),
        (config(label_names="ab"), "label_names is no list of names"),
        (config(pretrained_cfg=[]), "pretrained_cfg is no object"),
        (config(input_size=[1, 28, 28]), r"images are \[1, 28, 28\].*not square and RGB"),
        (config(input_size=[3, 256, 128]), "not square and RGB"),
        (config(input_size=[3, 224.5, 224.5]), "not square and RGB"),
        (config(input_size=224), "input_size is 224, which is not three numbers"),
        (config(input_size=[3, 10**9, 10**9]), "sizes take 1 to 4096"),
        (config(mean=[0.5, 0.5]), r"mean is \[0.5, 0.5\], which is not three numbers"),
        (config(mean=[0.5, 0.5, True]), "mean is"),
        (config(std=[0, 1, 1]), "std is positive"),
        (config(crop_pct=0), "crop_ratio lies in"),
        (config(crop_pct=1.15), "crop_ratio lies in"),
        (config(crop_pct="1"), "crop_pct is '1', which is no finite number"),
        (config(test_input_size="big"), "test_input_size"),
        (b"", "it is no JSON"),
        (b"[1]", "not an object"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b'{"architecture": "resnet50d", "mean": [NaN, 1, 1]}', "NaN is no number"),
        (b'{"architecture": "resnet50d", "mean": [1e999, 1, 1]}', "too large"),
        (b'{"architecture": "a", "architecture": "b"}', "twice"),
        (b'{"a":' + b"[" * 100_000, "deeper than 64"),
        (b'{"n": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_what_cannot_be_used(content, says, tmp_path):
    start = time.monotonic()
    with pytest.raises(Refused, match=says) as refused:
        read(tmp_path, content)
    said = str(refused.value)
    assert said.startswith("hf-hub:me/net ") and "\n" not in said and len(said) < 1200
    assert time.monotonic() - start < 10
