import struct

import numpy as np
import pytest
import scipy.io

from gluon_tricks.data.matlab import read_structures

FIELDS = ("ILSVRC2012_ID", "WNID", "children", "num_children")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("number", ["f8", "u2", "i4"])
def test_what_scipy_wrote_is_read(compressed, number, tmp_path):
    rows = [(k + 1, f"n{k:08d}", np.arange(k % 3), 300 * k) for k in range(30)]
    synsets = np.array(rows, [(FIELDS[0], number), (FIELDS[1], "O"), (FIELDS[2], "O"), (FIELDS[3], number)])
    content = {"before": np.eye(3), "synsets": synsets.reshape(-1, 1), "after": "text"}
    scipy.io.savemat(tmp_path / "meta.mat", content, do_compression=compressed)
    read = read_structures(tmp_path / "meta.mat", "synsets")
    assert [(s["ILSVRC2012_ID"], s["WNID"], s["num_children"]) for s in read] == [(k, n, c) for k, n, _, c in rows]
    with pytest.raises(ValueError, match="no array of structures called after"):
        read_structures(tmp_path / "meta.mat", "after")


def test_what_matlab_writes_is_read(tmp_path):
    """By hand: double numbers kept as bytes, text of 16 bits, short elements within eight bytes."""

    def element(kind, data):
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def short(kind, data):
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")

    def matrix(what, shape, name, *parts):
        flags = element(6, struct.pack("<II", what, 0))
        return element(14, flags + element(5, struct.pack("<2i", *shape)) + name + b"".join(parts))

    number = matrix(6, (1, 1), element(1, b""), short(2, b"\x07"))
    text = matrix(4, (1, 9), element(1, b""), element(4, "n01440764".encode("utf-16-le")))
    names = element(1, b"ID".ljust(8, b"\0") + b"WNID".ljust(8, b"\0"))
    synsets = matrix(2, (1, 1), element(1, b"synsets"), short(5, struct.pack("<i", 8)), names, number, text)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM" + synsets)
    assert read_structures(tmp_path / "a.mat", "synsets") == [{"ID": 7.0, "WNID": "n01440764"}]


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM", bytes(200)])
def test_what_is_no_such_file_is_an_error(content, tmp_path):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match="no little-endian MAT-file of level 5"):
        read_structures(tmp_path / "a.mat", "synsets")
