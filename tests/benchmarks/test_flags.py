"""The command line of benchmark.py: each benchmark has its own flags, and heeds or refuses what it is given."""

import inspect

import pytest

from benchmarks import main
from benchmarks.flags import FLAGS


def ends(words, capsys):
    with pytest.raises(SystemExit) as end:
        main.main(words)
    told = capsys.readouterr()
    return end.value.code, told.out + told.err


class Reads:
    """A namespace that notes what is read of it."""

    def __init__(self, args):
        self.args, self.read = args, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.args, name)


def stand_ins(monkeypatch, what):
    """Lets nothing be measured."""
    module = getattr(main, what)
    signature = inspect.signature(module.run)

    def run(*given, **named):
        signature.bind(*given, **named)
        return {}, []

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(main, "_records", lambda args, scratch: str(args.rec or args.photos))


@pytest.mark.parametrize("what", main.BENCHMARKS)
def test_every_flag_that_is_taken_is_heeded(what, monkeypatch, tmp_path):
    """And what is asked for by the benchmark is a flag of it."""
    of = main.BENCHMARKS[what]
    words = ["--photos", str(tmp_path), "--runs", str(tmp_path)] if what == "time_to_accuracy" else []
    reads = Reads(main.parse(main.__doc__, main.BENCHMARKS, [what, *words]))
    stand_ins(monkeypatch, what)
    of.run(reads)
    assert reads.read | ({"predict"} if what == "scaling" else set()) == of.defaults.keys()  # which main reads


@pytest.mark.parametrize("what", main.BENCHMARKS)
def test_other_flags_are_refused_by_name(what, capsys):
    taken = main.BENCHMARKS[what].defaults
    for name in FLAGS.keys() - taken.keys():
        if any(longer.startswith(name) for longer in taken):  # --rec is the beginning of --recipe
            continue
        flag = f"--{name.replace('_', '-')}"
        code, told = ends([what, flag, "1"], capsys)
        assert code == 2 and told.startswith(f"refused: there is no flag {flag}: ")


@pytest.mark.parametrize("what", main.BENCHMARKS)
def test_help_names_what_is_measured_and_each_flag_with_its_default(what, capsys):
    code, told = ends([what, "--help"], capsys)
    of = main.BENCHMARKS[what]
    assert code == 0 and f" {what} " in told and " ".join(told.split()).find(of.what) > 0
    for name, default in of.defaults.items():
        assert f"--{name.replace('_', '-')} " in told
        assert default is None or f"({default})" in "".join(told.split()) or f"({default})" in told


def test_help_names_every_benchmark(capsys):
    code, told = ends(["--help"], capsys)
    assert code == 0 and all(f"  {name} " in told and of.what in told for name, of in main.BENCHMARKS.items())


def test_the_first_word_names_what_is_measured(capsys):
    assert main.main(["modles"]) == 2
    assert capsys.readouterr().err == "refused: there is no benchmark 'modles': did you mean models?\n"
    code, told = ends(["--model", "vgg16", "models"], capsys)
    assert code == 2 and told.startswith("refused: --model comes first: name what is measured before its flags")
    code, told = ends([], capsys)
    assert code == 2 and "loader, records, train" in told


@pytest.mark.parametrize("what", [what for what, of in main.BENCHMARKS.items() if "model" in of.defaults])
def test_a_network_that_is_not_there(what, capsys):
    assert main.main([what, "--model", "resnet50_v1dd"]) == 2
    assert capsys.readouterr().err.startswith("refused: there is no model 'resnet50_v1dd': did you mean resnet50_v1d")


@pytest.mark.parametrize("what", ["tricks", "scaling", "transfer"])
def test_what_a_contestant_or_a_rank_refuses_is_told_in_one_sentence(what, capsys):
    """The first two have images that are too small, the last a network that a detector of both zoos is not built on."""
    rest = {"transfer": "--model vgg16", "tricks": "--input-size 8", "scaling": "--input-size 8"}[what]
    assert main.main([what, *rest.split(), "--rounds", "1"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("refused: ") and ("at least" in told or "vgg16" in told)


@pytest.mark.parametrize("what", ["loader", "train"])
def test_several_files_of_records_are_refused(what, tmp_path, capsys):
    for name in ("tr-1.rec", "tr-2.rec"):
        (tmp_path / name).touch()
    assert main.main([what, "--rec", f"{tmp_path}/tr-*.rec"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("tr-*.rec: it stands for several files, and ImageRecordIter reads one: name one .rec file\n")


@pytest.mark.parametrize("flag", ["--rounds", "--steps", "--batch-size", "--input-size", "--threads"])
def test_numbers_have_bounds(flag, capsys):
    code, told = ends(["train", flag, "0"], capsys)
    assert code == 2 and f"argument {flag}: 0, but it takes 1 to " in told
