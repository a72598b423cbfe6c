"""ImageNet's ids in words, and as they are where the words are not to be had."""

import logging

from gluon_tricks.data import class_names


def test_ids_in_words():
    assert class_names.in_words(("n01440764", "n02102040", "dog")) == ("tench", "English springer", "dog")
    assert class_names.in_words(("ant", "bee")) == ("ant", "bee")


def test_names_cost_no_result_where_gluoncv_fails(monkeypatch, caplog):
    """A file of it is missing, or what it imports crashes: the ids are told."""

    def fails():
        raise KeyError("a package of\nits own")

    monkeypatch.setattr(class_names, "import_gluoncv", fails)
    with caplog.at_level(logging.WARNING):
        assert class_names.in_words(("n01440764", "dog")) == ("n01440764", "dog")
    (record,) = caplog.records
    assert "told as they are" in record.getMessage() and "\n" not in record.getMessage()
