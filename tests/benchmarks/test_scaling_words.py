"""`benchmark.py scaling --predict`: what its words may be, and what is said."""

import pytest

from benchmarks import main, scaling_words
from benchmarks.scaling_words import cluster_of, read, tell, work_of
from gluon_tricks.core.errors import Refused

LEAST = ["ranks=512", "images_per_second=1200"]


@pytest.mark.parametrize(
    "words, says",
    [
        (["rank=2"], "there is no word 'rank' in --predict: did you mean ranks"),
        (["ranks"], "--predict 'ranks': give ranks=VALUE (in all)"),
        (["ranks="], "--predict 'ranks=': give ranks=VALUE"),
        (["ranks=2", "ranks=4"], "--predict has ranks twice: give it once"),
        (["link=10"], "--predict needs ranks= (in all) and images_per_second= (of one rank that trains alone)"),
        ([*LEAST, "link=fast"], "--predict link='fast' is not a number (Gbit/s between machines"),
        (["ranks=2.5"], "--predict ranks='2.5' is not a whole number (in all)"),
        (["ranks=0"], "--predict ranks=0: it takes 1 to 1e+06 (in all)"),
        ([*LEAST, "latency=-1"], "--predict latency=-1: it takes 0 to 1e+06 (microseconds"),
        ([*LEAST, "link=nan"], "--predict link=nan: it takes 0.001 to 100000"),
        ([*LEAST, "dtype=float64"], "there is no value of dtype 'float64': did you mean float16, float32?"),
        ([*LEAST, "per_host=7"], "--predict: 512 ranks do not fill machines of 7: give a multiple of per_host"),
    ],
)
def test_words_that_are_refused(words, says):
    with pytest.raises(Refused) as error:
        read(words)
    assert str(error.value).startswith(says)


def test_a_network_that_is_not_there():
    with pytest.raises(Refused, match="resnet50_v1x"):
        tell([*LEAST, "model=resnet50_v1x"])


@pytest.mark.parametrize(
    "flag, value, says",
    [
        ("--model", "vgg16", "give model=VALUE"),
        ("--batch-size", "64", "give batch=VALUE"),
        ("--link", "10", "give link=VALUE"),
        ("--input-size", "64", "give size=VALUE"),
        ("--dtype", "bfloat16", "give dtype=VALUE"),
        ("--steps", "3", "nothing is measured or written"),
        ("--out", "record.json", "nothing is measured or written"),
    ],
)
def test_flags_that_a_prediction_would_not_heed(flag, value, says, capsys):
    assert main.main(["scaling", flag, value, "--predict", *LEAST]) == 2
    assert capsys.readouterr().err == f"refused: {flag} is for measuring: with --predict {says}\n"


def test_a_word_that_is_refused_is_exit_code_2(capsys):
    assert main.main(["scaling", "--predict", "ranks=x"]) == 2
    assert capsys.readouterr().err == "refused: --predict ranks='x' is not a whole number (in all)\n"


def test_units(monkeypatch):
    """us, ms, percent and MiB become seconds, shares and bytes; what software adds to a step is the fitted constant."""
    monkeypatch.setattr(
        scaling_words, "_constants", lambda: dict(rdma=0.9, tcp=0.5, rdma_step=1e-5, tcp_step=3e-5, jitter=0.04)
    )
    values, left = read([*LEAST, "latency=5", "cycle=2", "jitter=1.5", "bucket=16", "transport=tcp", "batch=64"])
    cluster, work = cluster_of(values), work_of(values)
    assert (cluster.latency, cluster.cycle, cluster.jitter) == (pytest.approx(35e-6), 0.002, pytest.approx(0.015))
    assert (cluster.share, cluster.per_host, cluster.link, cluster.fusion) == (0.5, 8, 100, 0)
    assert work.seconds == 64 / 1200 and len(work.messages) > 3 and work.messages[0].bytes >= 2**24
    assert "latency" not in left and {"per_host", "link", "model", "dtype"} <= set(left)


@pytest.mark.parametrize("transport, latency", [("rdma", 2), ("tcp", 20)])
def test_what_follows_from_other_words(transport, latency):
    values, _ = read(["ranks=4", "images_per_second=1", f"transport={transport}"])
    assert values["per_host"] == 4 and values["latency"] == pytest.approx(latency)


def test_one_rank_is_told_of(capsys):
    """50 images at 100 a second: half a second; ResNet-50-D has 25,576,264 parameters."""
    words = ["ranks=1", "images_per_second=100", "batch=50", "dtype=float16"]
    assert main.main(["scaling", "--predict", *words]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "51.2 MB from each rank and step, in 2 messages; a step of one rank: 500.0 ms" in told[0]
    assert told[1] == "1 rank on 1 machine: efficiency 1.000, 100 images/s"
    assert told[2] == "a step: 500.0 ms = 500.0 (computation)"
    assert told[3] == "what limits it: computation: the ranks lose under 2 % to each other"
    assert told[4] == "what would help: nothing of what is tried"
    assert told[5].startswith("assumed: per_host=1, link=100, transport=rdma") and "ranks=" not in told[5]


def test_a_slow_link_is_what_limits():
    """VGG-16 over 1 Gbit/s: 553 MB twice take longer than 8.8 s, a step of 64 images at 200 a second 0.32 s."""
    told = tell("ranks=16 per_host=1 link=1 transport=tcp model=vgg16 batch=64 images_per_second=200".split())
    assert "bandwidth: the messages last longer" in told[3]
    assert float(told[1].split("efficiency ")[1].split(",")[0]) < 0.32 / 8.8
    assert "a link of 2 Gbit/s" in told[4] and "gradients of 16 bits" in told[4]


def test_every_word_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main.main(["scaling", "--help"])
    told = " ".join(capsys.readouterr().out.split()).replace(" ", "")
    assert ",".join(scaling_words.WORDS) in told
