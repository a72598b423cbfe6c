"""Kinds of parameter files, told by content: what each gives, and what is refused in which words."""

import argparse
import collections
import enum
import os
import pathlib
import pickle
import struct
import subprocess
import time
import warnings
import zipfile

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from model_zoo import formats, get_model, naming

VALUES = {
    "stem.weight": np.arange(6, dtype="float32").reshape(2, 3),
    "stem.bias": np.array([0.5, -2], "float16"),
    "count": np.array([[7]], "int64"),
    "exact": np.array([1 / 3], "float64"),
}


def assert_equal(seen, expected):
    assert list(seen) == list(expected)
    for name, value in expected.items():
        assert seen[name].dtype == value.dtype
        np.testing.assert_array_equal(seen[name], value, err_msg=name)


def saved(path, values=VALUES):
    mx.nd.save(str(path), {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()})
    return path


def packed(name, array):
    """A .params with one array, given as bytes."""
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, len(name)) + name.encode()


# --- MXNet --------------------------------------------------------------------------------------------------------


def test_params_whatever_they_are_called(tmp_path):
    assert_equal(formats.read(saved(tmp_path / "x.safetensors")), VALUES)


def test_an_exported_file_keeps_order_and_loses_arg_and_aux(tmp_path):
    values = {"arg:b_weight": VALUES["stem.weight"], "aux:a_running_mean": VALUES["exact"]}
    assert list(formats.read(saved(tmp_path / "x", values))) == ["b_weight", "a_running_mean"]


@pytest.mark.parametrize(
    "array",
    [
        struct.pack("<Iiqqiii", 0xF993FAC8, 2, 2, 3, 1, 0, 0),  # MXNet 0.12: 64 bit sizes
        struct.pack("<IIIiii", 2, 2, 3, 1, 0, 0),  # before: 32 bit sizes, no mark
    ],
)
def test_params_of_old(tmp_path, array):
    """As libmxnet itself reads them."""
    path = tmp_path / "x.params"
    path.write_bytes(packed("a", array + VALUES["stem.weight"].tobytes()))
    np.testing.assert_array_equal(mx.nd.load(str(path))["a"].asnumpy(), VALUES["stem.weight"])
    assert_equal(formats.read(path), {"a": VALUES["stem.weight"]})


def test_bfloat16_params_become_float32(tmp_path):
    bfloat16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's own name for it
    value = mx.nd.array([1, -2.5, 3.140625]).astype(bfloat16)  # 8 significant bits are enough for these
    mx.nd.save(str(tmp_path / "x.params"), {"a": value})
    assert_equal(formats.read(tmp_path / "x.params"), {"a": np.array([1, -2.5, 3.140625], "float32")})


@pytest.mark.parametrize("kept", [12, 30, 70, 100, 0.5, -1])
def test_truncated_params_are_refused(kept, tmp_path):
    content = saved(tmp_path / "x.params", {"a.weight": np.ones((64, 3, 3, 3), "float32")}).read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    (tmp_path / "x.params").write_bytes(content[:kept])
    with pytest.raises(Refused, match="x.params is (truncated|no parameter file)"):
        formats.read(tmp_path / "x.params")


def test_a_size_beyond_the_file_is_refused_before_it_is_allocated(tmp_path):
    path = saved(tmp_path / "x.params", {"a.weight": np.zeros((2, 3), "float32")})
    content = bytearray(path.read_bytes())
    content[36:44] = struct.pack("<q", 1 << 60)  # 24 bytes of list header, 12 of array header, then the shape (2, 3)
    path.write_bytes(content)
    with pytest.raises(Refused, match="truncated: an array of shape .1152921504606846976, 3. reaches beyond"):
        formats.read(path)


def test_arrays_without_names_are_refused(tmp_path):
    mx.nd.save(str(tmp_path / "x.params"), [mx.nd.zeros(3)])
    with pytest.raises(Refused, match="holds 1 arrays without names"):
        formats.read(tmp_path / "x.params")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    array = struct.pack("<Iiiqiii", 0xF993FAC9, 0, 1, 1, 1, 0, 0) + bytes(4)
    name = struct.pack("<Q", 1) + b"a"
    content = struct.pack("<QQQ", 0x112, 0, 2) + array * 2 + struct.pack("<Q", 2) + name * 2
    (tmp_path / "x.params").write_bytes(content)
    with pytest.raises(Refused, match="damaged: 2 arrays and 1 names"):
        formats.read(tmp_path / "x.params")


# --- safetensors --------------------------------------------------------------------------------------------------


def test_safetensors_whatever_they_are_called(tmp_path):
    (tmp_path / "x.params").write_bytes(safetensors.numpy.save(VALUES, {"model": "a"}))
    seen = formats.read(tmp_path / "x.params")
    assert_equal({name: seen[name] for name in VALUES}, VALUES)
    assert formats.metadata(tmp_path / "x.params") == {"model": "a"}
    assert formats.metadata(saved(tmp_path / "y.params")) == {}


def test_bfloat16_safetensors_become_float32(tmp_path):
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    content = struct.pack("<Q", len(header)) + header + bytes([0x80, 0x3F, 0x20, 0xC0])  # 1.0 = 3f80, -2.5 = c020
    (tmp_path / "x").write_bytes(content)
    assert_equal(formats.read(tmp_path / "x"), {"a": np.array([1, -2.5], "float32")})


def test_other_types_of_safetensors_are_refused(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(Refused, match="x: a is of type F8_E4M3"):
        formats.read(tmp_path / "x")


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint32", "uint64"])
def test_types_that_no_parameter_has_are_refused(dtype, tmp_path):
    (tmp_path / "x").write_bytes(safetensors.numpy.save({"a": np.ones(2, dtype)}))
    with pytest.raises(Refused, match="x: a is of type [IU](16|32|64), which is no type of parameters"):
        formats.read(tmp_path / "x")


def test_truncated_safetensors_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(safetensors.numpy.save(VALUES)[:-1])
    with pytest.raises(Refused, match="x is damaged, get it again: SafetensorError"):
        formats.read(tmp_path / "x")


# --- PyTorch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 90, "arch": "a"},
        lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1, output=pathlib.Path("runs"))},
        lambda state: {"state_dict": state, "hyper_parameters": AttributeDict(kind=Kind.LARGE), "callbacks": {}},
        lambda state: {"net": state, "best": np.float64(0.5), "random": np.random.get_state(), "args": EasyDict()},
        lambda state: {"model_ema": state, "metric": {"top1": state["count"].sum()}},  # numbers without a dimension
    ],
)
def test_state_dicts(torch_libraries, tmp_path, wrap, new):
    torch = torch_libraries.torch
    state = {name: torch.tensor(value) for name, value in VALUES.items()}
    torch.save(wrap(state), tmp_path / "x", _use_new_zipfile_serialization=new)
    assert_equal(formats.read(tmp_path / "x"), VALUES)


def test_bfloat16_tensors_and_those_with_a_gradient(torch_libraries, tmp_path):
    torch = torch_libraries.torch
    tensor = torch.tensor([1.0, -2.5], dtype=torch.bfloat16)
    torch.save({"a": tensor, "b": torch.nn.Parameter(torch.ones(2, 1).t())}, tmp_path / "x")
    expected = {"a": np.array([1, -2.5], "float32"), "b": np.ones((1, 2), "float32")}
    assert_equal(formats.read(tmp_path / "x"), expected)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "complex64", "float8_e4m3fn"])
def test_tensors_of_types_that_no_parameter_has_are_refused(torch_libraries, tmp_path, dtype):
    torch = torch_libraries.torch
    torch.save({"a": torch.zeros(2, dtype=getattr(torch, dtype))}, tmp_path / "x")
    with pytest.raises(Refused, match=f"x: a is of type torch.{dtype}, which is no type of parameters"):
        formats.read(tmp_path / "x")


class AttributeDict(dict):  # as Lightning's: items and a state
    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self


class EasyDict(collections.OrderedDict):
    pass


class Kind(enum.Enum):
    LARGE = 1


class Slotted:
    __slots__ = ("width",)

    def __init__(self):
        self.width = 1


@pytest.mark.parametrize(
    "keys, taken, others",
    [
        (["state_dict", "state_dict_ema"], "state_dict", "state_dict_ema"),
        (["model_ema", "model"], "model", "model_ema"),
        (["generator", "ema_generator"], "generator", "ema_generator"),
        (["discriminator", "net"], "net", "discriminator"),
    ],
)
def test_of_two_sets_one_is_taken_and_said(torch_libraries, tmp_path, caplog, keys, taken, others):
    torch, path = torch_libraries.torch, tmp_path / "x.pth"
    torch.save({key: {"a.weight": torch.full((2,), float(k))} for k, key in enumerate(keys)}, path)
    assert formats.read(path)["a.weight"].tolist() == [keys.index(taken)] * 2
    said = f"{path} holds {keys[0]} and {keys[1]}: {taken} is taken, {path}#{others} is the other"
    assert [record.getMessage() for record in caplog.records] == [said]
    caplog.clear()
    assert formats.read(f"{path}#{others}")["a.weight"].tolist() == [keys.index(others)] * 2
    assert not caplog.records
    with pytest.raises(Refused, match=f"x.pth holds {keys[0]} and {keys[1]}, and no 'swa'"):
        formats.read(f"{path}#swa")


def test_two_sets_of_which_none_is_the_usual_one(torch_libraries, tmp_path):
    torch = torch_libraries.torch
    torch.save({key: {"a": torch.ones(2)} for key in ("student", "teacher")}, tmp_path / "x.pth")
    with pytest.raises(Refused, match="x.pth holds student and teacher: name one, as .*x.pth#student"):
        formats.read(tmp_path / "x.pth")
    assert formats.read(f"{tmp_path}/x.pth#teacher")["a"].tolist() == [1, 1]


def test_state_dicts_further_in(torch_libraries, tmp_path):
    torch, path = torch_libraries.torch, tmp_path / "x.pth"

    def of(number):
        return {"state_dict": {"a.weight": torch.full((2,), float(number))}, "epoch": 3}

    torch.save({"model": of(1), "epoch": 3}, path)
    for source in (path, f"{path}#model.state_dict"):
        assert formats.read(source)["a.weight"].tolist() == [1, 1]
    torch.save({"ema": of(2), "student": of(1)}, path)
    assert formats.read(path)["a.weight"].tolist() == [1, 1]
    assert formats.read(f"{path}#ema.state_dict")["a.weight"].tolist() == [2, 2]
    torch.save({"student": of(1), "teacher": of(2)}, path)
    with pytest.raises(Refused, match=f"holds student.state_dict and .* name one, as {path}#student.state_dict"):
        formats.read(path)
    torch.save({"model": of(1)["state_dict"], "other": of(2)}, path)
    assert formats.read(path)["a.weight"].tolist() == [1, 1]
    assert formats.read(f"{path}#other.state_dict")["a.weight"].tolist() == [2, 2]


def test_a_part_of_the_names(torch_libraries, tmp_path):
    """Whatever the kind of the file; a # in the name of a file that is there is not one."""
    values = {"model.a.weight": np.zeros(2, "float32"), "ema.a.weight": np.ones(2, "float32")}
    formats.write(tmp_path / "x.safetensors", values, {})
    saved(tmp_path / "x.params", values)
    torch_libraries.torch.save(
        {"model": {n: torch_libraries.torch.tensor(v) for n, v in values.items()}}, tmp_path / "x"
    )
    for name in ("x.safetensors", "x.params", "x"):
        assert_equal(formats.read(f"{tmp_path / name}#ema"), {"a.weight": np.ones(2, "float32")})
    with pytest.raises(Refused, match="x.params has no names that begin with 'swa'"):
        formats.read(f"{tmp_path}/x.params#swa")
    saved(tmp_path / "x.params#ema")
    assert_equal(formats.read(tmp_path / "x.params#ema"), VALUES)


@pytest.mark.parametrize("new", [True, False])
def test_what_is_not_read_is_named(torch_libraries, tmp_path, new):
    torch = torch_libraries.torch
    state, net = {"a": torch.ones(2)}, torch.nn.Linear(2, 3)
    for content, says in (
        ({"model": state, "x": Slotted()}, r"holds objects that are not read \(tests?.*test_formats.Slotted\)"),
        ({"model": net}, "torch.nn.modules.linear.Linear"),
        (net, "torch.nn.modules.linear.Linear"),
    ):
        torch.save(content, tmp_path / "x", _use_new_zipfile_serialization=new)
        with pytest.raises(Refused, match=says) as refused:
            formats.read(tmp_path / "x")
        assert str(refused.value).endswith(": save the state dict alone, with torch.save(model.state_dict(), FILE)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, that it will go
        torch.jit.script(net).save(tmp_path / "x")
    with pytest.raises(Refused, match="x is a TorchScript program: load it with torch.jit.load"):
        formats.read(tmp_path / "x")
    torch.save(state, tmp_path / "x", pickle_protocol=4)
    with pytest.raises(Refused, match="x is damaged, or saved with another pickle_protocol than torch.save's own"):
        formats.read(tmp_path / "x")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("kept", [100, 0.5, -1])
def test_damaged_checkpoints_are_said_to_be(torch_libraries, tmp_path, new, kept):
    torch = torch_libraries.torch
    content = {"model": {"a": torch.ones(3000)}, "args": argparse.Namespace(a=1)}
    torch.save(content, tmp_path / "x", _use_new_zipfile_serialization=new)
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(Refused, match="x is damaged, get it again: ") as refused:
        formats.read(tmp_path / "x")
    assert "\x1b" not in str(refused.value) and "weights_only" not in str(refused.value)


class Evil:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('evil').touch()",)


def test_no_pickle_is_executed(torch_libraries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch = torch_libraries.torch
    for new in (True, False):
        torch.save({"a": torch.ones(1), "b": Evil()}, "x", _use_new_zipfile_serialization=new)
        with pytest.raises(
            Refused, match="x would run code on .*builtins.exec.: it was refused and nothing of it was run"
        ):
            formats.read("x")
        torch.save({"model": {"a": torch.ones(1)}, "b": Evil()}, "z", _use_new_zipfile_serialization=new)
        with pytest.raises(Refused, match="z would run code"):  # though there is a state dict beside it
            formats.read("z")
    (tmp_path / "y").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(Refused, match="y is a pickle, which may run any code when it is read, and was refused"):
        formats.read("y")
    assert not (tmp_path / "evil").exists()
    torch.load("x", weights_only=False)  # the trap does work
    assert (tmp_path / "evil").exists()


class Call:
    """Pickled, it is a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "function, named",
    [(os.system, "posix.system"), (subprocess.run, "(subprocess|commands).run"), (eval, "builtins.eval")],
)
def test_a_file_that_would_run_code_is_said_to(torch_libraries, tmp_path, protocol, function, named):
    """Nobody is told to get it again, nor how to read it after all."""
    for content in (Call(function, "true"), {"a": 1.0, "b": [Call(function, "true")]}):
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            archive.writestr("x/data.pkl", pickle.dumps(content, protocol))
        with pytest.raises(Refused, match=rf"x would run code on .*\({named}\)") as refused:
            formats.read(tmp_path / "x")
        assert not any(word in str(refused.value) for word in ("damaged", "again", "weights_only", "safe_globals"))


@pytest.mark.parametrize(
    "program",
    [
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nS'true'\no.",
        b"\x80\x02cos\nsystem\n)\x81.",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n)R}(X\x01\x00\x00\x00acos\nsystem\nub.",
    ],
    ids=["inst", "obj", "newobj", "memo", "state"],
)
def test_whatever_way_a_pickle_names_it(torch_libraries, tmp_path, program):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("x/data.pkl", program)
    with pytest.raises(Refused, match=r"x would run code on .*\(os.system\)"):
        formats.read(tmp_path / "x")


def test_no_librarys_advice_to_trust_a_file_is_passed_on(tmp_path):
    for advice in ("re-run torch.load with weights_only=False", "use allow_pickle=True", "add_safe_globals([x])"):
        with pytest.raises(Refused, match="x holds something else than numbers, and was refused") as refused:
            with formats._damage_told("x"):
                raise ValueError(advice)
        assert advice not in str(refused.value)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: None}])
def test_torch_files_of_something_else_are_refused(torch_libraries, tmp_path, content):
    torch_libraries.torch.save(content, tmp_path / "x")
    with pytest.raises(Refused, match="x holds no state dict: save the state dict alone, with"):
        formats.read(tmp_path / "x")


def test_a_tensor_larger_than_its_file_is_refused(torch_libraries, tmp_path):
    """An expanded tensor is one number that says it is many."""
    torch_libraries.torch.save({"a": torch_libraries.torch.ones(1).expand(1 << 40)}, tmp_path / "x")
    with pytest.raises(Refused, match="x names more numbers than it holds"):
        formats.read(tmp_path / "x")


def test_compressed_torch_files_are_refused(torch_libraries, tmp_path):
    torch_libraries.torch.save({"a": torch_libraries.torch.zeros(1 << 20)}, tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x") as old, zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    with pytest.raises(Refused, match="y is damaged, or not written by torch.save"):
        formats.read(tmp_path / "y")


def test_another_zip_file_is_refused(torch_libraries, tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("resnet50_v1d-117a384e.params", b"")
    with pytest.raises(Refused, match="x is a zip file, but not torch.save's: unpack it first"):
        formats.read(tmp_path / "x")


def test_without_pytorch_its_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "x").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(Refused, match=r"x is a PyTorch file: to read it, pip install '.\[interop\]'"):
        formats.read(tmp_path / "x")


def test_a_pytorch_that_runs_code_is_not_asked(torch_libraries, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_libraries.torch, "__version__", "2.5.1+cpu")
    (tmp_path / "x").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(Refused, match="PyTorch 2.5.1.cpu can be made to run code by such files: install 2.10 or newer"):
        formats.read(tmp_path / "x")


# --- all ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x12\x01", b"\x89PNG\r\n\x1a\n", bytes(100)])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "x.params").write_bytes(content)
    with pytest.raises(Refused, match="x.params is no parameter file: give one of"):
        formats.read(tmp_path / "x.params")


@pytest.mark.parametrize("name", ["x.safetensors", "x.params"])
def test_written_and_read(name, tmp_path):
    formats.write(tmp_path / name, VALUES, {"model": "a"})
    seen = formats.read(tmp_path / name)
    assert_equal({key: seen[key] for key in VALUES}, VALUES)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_arrays_that_are_not_contiguous_are_written(tmp_path):
    formats.write(tmp_path / "x.safetensors", {"a": np.arange(6.0).reshape(2, 3).T}, {})
    np.testing.assert_array_equal(formats.read(tmp_path / "x.safetensors")["a"], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize(
    "name, says", [("x.pth", "should end in .safetensors or .params"), ("no/x.params", "no folder")]
)
def test_where_nothing_can_be_written(name, says, tmp_path):
    with pytest.raises(Refused, match=says):
        formats.write(tmp_path / name, VALUES, {})


@pytest.mark.parametrize("unit", ["1", "1_", "_", ".", "a.", "a_1"])
def test_a_name_of_a_thousand_letters_costs_no_time(unit):
    """One of 600 digits took 39 s, and each doubling eight times as long."""
    name = "stage" + unit * (900 // len(unit))
    values = {f"{name}_weight": np.ones(1, "f4"), f"{name}_bias": np.ones(1, "f4")}
    began = time.monotonic()
    assert naming.naming_in(get_model("resnet18_v1"), values).names is None
    assert time.monotonic() - began < 3


def test_names_longer_than_any_network_has_are_refused_in_few_words(tmp_path):
    safetensors.numpy.save_file({"n" * 2_000_000: np.ones(1, "f4")}, tmp_path / "x")
    with pytest.raises(
        Refused, match="x has a name of 2000000 letters, and parameters of networks have at most"
    ) as error:
        formats.read(tmp_path / "x")
    assert len(str(error.value)) < 400
    safetensors.numpy.save_file({f"s{k}": np.ones(1, "f4") for k in range(20_001)}, tmp_path / "x")
    with pytest.raises(Refused, match="x has 20001 arrays"):
        formats.read(tmp_path / "x")


def test_numbers_in_names_are_what_they_end_in():
    assert [naming._numbered(text) for text in ("conv12", "a1b2", "7", "conv", "")] == [
        ("conv", 12), ("a1b", 2), ("", 7), ("conv", 0), ("", 0),
    ]  # fmt: skip
    upwards = ["net0_stage1_conv0", "net0_stage1_conv1", "net0_stage2_conv0", "net0_stage10_conv0"]
    assert naming._scopes_upwards(upwards) and not naming._scopes_upwards(upwards[::-1])
