"""With the same weights, each network computes what timm's and torchvision's networks of its peers compute.

The weights go both ways through files: what torch saves is loaded here, what is written here is loaded there.
"""

import re

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from model_zoo import catalogue, get_model, list_models, weights

OPTIONS = {  # beside the number of classes
    "inception_v3": {"torchvision": dict(aux_logits=False, transform_input=False, init_weights=False)},
    "googlenet": {"torchvision": dict(aux_logits=False, transform_input=False, init_weights=False)},
    "mobilenetv1_100": {"timm": dict(act_layer="relu")},
}
PEERS = [
    (name, library, peer.model)
    for name in list_models()
    for library, peer in get_model(name).peers.items()
    if library in weights.TORCH and peer.model
]
SMALL = [peer for peer in PEERS if peer[0] not in catalogue.NAMES_ONLY]  # as the page says


def build(libraries, library, model):
    options = OPTIONS.get(model, {}).get(library, {})
    if library == "timm":
        return libraries.timm.create_model(model, pretrained=False, num_classes=7, **options).eval()
    return libraries.torchvision.models.get_model(model, weights=None, num_classes=7, **options).eval()


def randomised(libraries, library, model):
    """A network with random numbers in every parameter, of a size that keeps the logits near 1.

    It is made without numbers, as those that it would bring take longer than all that is computed here.
    """
    with libraries.torch.device("meta"):
        net = build(libraries, library, model)
    assert {name for name, _ in net.named_buffers()} <= net.state_dict().keys()  # all will have numbers
    net = net.to_empty(device="cpu")
    for name, value in net.state_dict().items():
        if not value.is_floating_point():
            assert name.endswith("num_batches_tracked")
            value.zero_()
    randomise(libraries.torch, net)
    return net


def randomise(torch, net):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.4, 1.1)
            elif value.is_floating_point():
                bound = (4.5 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.4
                value.uniform_(-bound, bound)


def logits(torch, net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x.asnumpy())).numpy()


def assert_close(seen, expected):
    assert seen.shape == expected.shape and expected.std() > 1e-3
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name, library, model", SMALL)
def test_logits_both_ways(name, library, model, torch_libraries, images):
    torch = torch_libraries.torch
    theirs = randomised(torch_libraries, library, model)
    ours = get_model(name, classes=7)
    x = images(1, 224 if name.startswith(("alexnet", "vgg")) else max(ours.smallest_side, 33))
    expected = logits(torch, theirs, x)
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    weights.assign(ours, state)
    assert_close(ours(x).asnumpy(), expected)

    written = weights.as_theirs(ours, weights.values_of(ours), library)
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            assert np.array_equal(written[key], value), key  # bit by bit, and the shape
    written = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in written.items()}
    for value in theirs.state_dict().values():
        value.zero_()
    theirs.load_state_dict(written)  # strict: no key too many
    np.testing.assert_array_equal(logits(torch, theirs, x), expected)


@pytest.mark.parametrize(
    "name, library, model, options",
    [
        ("resnet18_v1b", "timm", "resnet18", dict(output_stride=8)),
        ("mobilenet1.0", "timm", "mobilenetv1_100", dict(output_stride=8, act_layer="relu")),
        ("resnet50_v1b", "torchvision", "resnet50", dict(replace_stride_with_dilation=(False, True, True))),
    ],
)
def test_dilated(name, library, model, options, torch_libraries, images):
    torch, x = torch_libraries.torch, images(1, 65)
    make = torch_libraries.timm.create_model if library == "timm" else torch_libraries.torchvision.models.get_model
    theirs = make(model, num_classes=7, **options).eval()
    randomise(torch, theirs)
    ours = get_model(name, classes=7, dilated=True)
    weights.assign(ours, {key: value.numpy() for key, value in theirs.state_dict().items()})
    assert_close(ours(x).asnumpy(), logits(torch, theirs, x))
    assert weights.as_theirs(ours, weights.values_of(ours), library).keys() <= theirs.state_dict().keys()


@pytest.mark.parametrize("name, library, model", PEERS)
def test_names_and_shapes_of_all(name, library, model, torch_libraries):
    with torch_libraries.torch.device("meta"):  # shapes without numbers
        theirs = build(torch_libraries, library, model).state_dict()
    expected = {key: tuple(value.shape) for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    empty = {key: np.broadcast_to(np.float32(0), shape) for key, shape in expected.items()}
    ours = get_model(name, classes=7)
    written = weights.as_theirs(ours, weights.as_ours(ours, empty), library)
    assert {key: value.shape for key, value in written.items()} == expected


def test_through_files(torch_libraries, tmp_path, images):
    torch, x = torch_libraries.torch, images(2, 33)
    mx.random.seed(1)
    ours = get_model("resnet18_v1d", classes=7)
    ours.initialize(mx.init.Xavier())
    weights.save(ours, tmp_path / "ours.safetensors", "timm")
    theirs = build(torch_libraries, "timm", "resnet18d")
    theirs.load_state_dict(
        {k: torch.tensor(v) for k, v in safetensors.numpy.load_file(tmp_path / "ours.safetensors").items()}
    )
    assert_close(logits(torch, theirs, x), ours(x).asnumpy())
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    again = get_model("resnet18_v1d", pretrained=tmp_path / "theirs.pth", classes=7)
    np.testing.assert_array_equal(again(x).asnumpy(), ours(x).asnumpy())


@pytest.mark.parametrize("name, model", [("googlenet", "googlenet"), ("inceptionv3", "inception_v3")])
def test_auxiliary_classifiers_of_torchvision_are_left_out(name, model, torch_libraries):
    """torchvision's own files of Inception v3 and GoogLeNet hold them."""
    with torch_libraries.torch.device("meta"):
        theirs = torch_libraries.torchvision.models.get_model(model, weights=None, init_weights=False, aux_logits=True)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert any(key.lower().startswith("aux") for key in shapes)
    ours = get_model(name)
    values = weights.as_ours(ours, {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()})
    assert values.keys() == ours._collect_params_with_prefix().keys()


def test_densenets_as_torchvision_distributes_them(torch_libraries):
    """Its files say norm.1 where its network says norm1; its own loader renames them."""
    state = build(torch_libraries, "torchvision", "densenet121").state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.running_mean" in old and "features.norm0.weight" in old
    net = get_model("densenet121", classes=7)
    seen = weights.as_ours(net, {key: value.numpy() for key, value in old.items()})
    expected = weights.as_ours(net, {key: value.numpy() for key, value in state.items()})
    assert seen.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)
    # What it is written as is what torchvision calls it today.
    assert weights.as_theirs(net, seen, "torchvision").keys() <= state.keys()


def test_transformed_input_of_torchvision(torch_libraries):
    """transform_input after ImageNet's mean and deviation is the mean and deviation that the warning names."""
    torch = torch_libraries.torch
    net = torch_libraries.torchvision.models.GoogLeNet(
        num_classes=2, aux_logits=False, transform_input=True, init_weights=False
    )
    pixels = torch.rand(1, 3, 4, 4) * 255
    mean, std = (torch.tensor(rgb).reshape(3, 1, 1) for rgb in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    seen = net._transform_input((pixels / 255 - mean) / std)
    np.testing.assert_allclose(seen.numpy(), ((pixels - 127.5) / 127.5).numpy(), rtol=0, atol=1e-5)
    assert "mean 127.5 and std 127.5" in weights.NOTES["googlenet"]
