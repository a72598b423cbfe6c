import os
import sys
import time

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import (
    as_utf8,
    byte_size,
    columns,
    first_difference,
    harmless_output,
    is_plain,
    one_line,
    padded,
    plural,
    printable,
    quoted,
    shortened,
    some,
    without_password,
)


def test_counts_have_the_form_of_their_noun():
    said = [plural(1, "epoch"), plural(2, "epoch"), plural(0, "class"), plural(1, "class"), plural(3, "batch")]
    assert said == ["1 epoch", "2 epochs", "0 classes", "1 class", "3 batches"]
    assert plural(2, "validation image") == "2 validation images"
    assert [plural(count, "epoch") for count in (1.0, 0.5, 2.0)] == ["1 epoch", "0.5 epochs", "2 epochs"]


def test_a_size_has_three_digits_in_a_unit_that_fits():
    sizes = (0, 1, 999, 1000, 4096, 999_499, 999_500, 97_781_000, 1_234_567_890, 5e15)
    said = ["0 bytes", "1 byte", "999 bytes", "1 kB", "4.1 kB", "999 kB", "1 MB", "97.8 MB", "1.23 GB", "5 PB"]
    assert [byte_size(count) for count in sizes] == said
    assert byte_size(10_400_000) != byte_size(9_800_000)  # free and needed look different


def test_the_first_difference_is_of_letters_and_not_of_their_form():
    assert first_difference(("a", "caf\u00e9"), ["a", "cafe\u0301"]) == "" == first_difference((), ())
    assert first_difference(("a", "b"), ("a",)) == "the first difference: b and nothing"
    assert first_difference(("a",), ("a", "nothing")) == "the first difference: nothing and nothing"  # it is a class


def test_names_are_cut_and_padded_by_what_is_seen():
    assert some("abc", 3) == "a, b, c" and some("abcdefg") == "a, b, c, d, e and 2 more"
    assert [columns(name) for name in ("cat", "猫", "고양이", "café", "cafe\u0301")] == [3, 2, 6, 4, 4]
    assert padded("猫", 4) == "猫  " and padded("toolong", 3) == "toolong"


def test_a_name_is_on_one_line_and_nothing_obeys_it():
    for name, said in (
        ("猫 café|`x`.jpg", "猫 café|`x`.jpg"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred\x9b0m\x7f\0", r"\x1b[31mred\x9b0m\x7f\x00"),
        ("photo_\u202egpj.exe", r"photo_\u202egpj.exe"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("\ud800", r"\ud800"),
        ("two\u2028lines", r"two\u2028lines"),
    ):
        assert printable(name) == one_line(name) == said
        assert is_plain(name) == (name == said or "\u202e" in name)  # which may be meant, by an Arabic name
    assert printable("a" * 100 + "b" * 101) == "a" * 100 + "b" * 29 + " ... " + "b" * 66
    assert printable("a" * 50_000_000 + "z", 11) == "aaa ... aaz" and len(one_line("\n" * 10**7)) == 2000


def test_a_path_in_json_is_exact_but_for_bytes_that_are_no_text():
    assert as_utf8("a\n\u202e猫") == "a\n\u202e猫" and as_utf8(os.fsdecode(b"caf\xe9")) == r"caf\xe9"


def test_whatever_is_printed_reaches_no_terminal_as_it_is(capsys):
    with harmless_output():
        print("1\t\x1b[31m2", os.fsdecode(b"caf\xe9"))
        print("\x9b0m", file=sys.stderr)
        assert sys.stdout.isatty() is False and sys.stdout.encoding.lower() == "utf-8"
    print("\x1b")
    said = capsys.readouterr()
    assert said.out == "1\t\\x1b[31m2 caf\\xe9\n\x1b\n" and said.err == "\\x9b0m\n"


def test_what_a_file_says_is_quoted_and_cut():
    assert [quoted(value) for value in ("cat", 3, None, 0.1)] == ["'cat'", "3", "None", "0.1"]
    assert quoted("x" * 81).startswith("'xxx") and len(quoted("x" * 81)) == 80
    assert quoted(10**5000) == "a whole number of about 5000 digits"
    assert len(quoted({k: "v" * 50 for k in range(50)})) == 80
    began = time.monotonic()
    assert len(quoted("\n" * 50_000_000)) == 80
    assert time.monotonic() - began < 1


def test_a_long_text_keeps_its_beginning_and_its_end():
    assert shortened("abc", 3) == "abc"
    assert shortened("0123456789" * 10, 30) == "012345678901234 ... 0123456789"
    message = str(Refused("x" * 50_000_000 + ": name the file"))
    assert len(message) == 2000 and message.endswith(": name the file")


def test_a_password_in_an_address_is_not_shown():
    url = "https://me:s3cret@host.org:80/zoo/a.zip"
    assert without_password(f"from {url} (nonnumeric port: 's3cret@host.org')", url) == (
        "from https://host.org:80/zoo/a.zip (nonnumeric port: '***@host.org')"
    )
    assert without_password("from https://t0ken@host/a", "https://t0ken@host/a") == "from https://host/a"
    assert without_password("user:s3cret@host/a.zip", "user:s3cret@host/a.zip") == "host/a.zip"
    assert without_password("nonnumeric port: 's3c'", "https://host/", "http://me:s3c/ret@proxy:1") == (
        "nonnumeric port: '***'"
    )
    assert without_password("https://host/?sig=s3cret/a", "https://host/?sig=s3cret/a") == "https://host/?***"
    assert without_password("at host:80/a@b (port 80)", "http://host:80/a@b") == "at host:80/a@b (port 80)"
    assert without_password("from https://host/a@b", "https://host/a@b") == "from https://host/a@b"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_takes_everything(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    with harmless_output():
        print("x", file=getattr(sys, name), flush=True)
    assert getattr(sys, name) is None
