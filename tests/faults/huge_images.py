"""Decodes a few bytes that claim 50000 x 50000 pixels, in formats other than JPEG and PNG.

Prints a line for each: its name, whether there was an image, the megabytes that it took. In a process of its own,
because OpenCV is told of the limit before it is loaded.
"""

import pathlib
import struct

from gluon_tricks.data.records import decode_image  # before cv2

import cv2  # isort: skip
import numpy as np

SIDE = 50000
PIXELS = np.full((64, 64, 3), 90, np.uint8)


def encoded(ending, *options):
    return bytearray(cv2.imencode(ending, PIXELS, options)[1].tobytes())


def bmp(side):
    data = encoded(".bmp")
    struct.pack_into("<ii", data, 18, side, side)
    return data


def tiff(side):
    """Width and height are tags 256 and 257."""
    data = encoded(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 1)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in (256, 257):
            struct.pack_into("<H" if kind == 3 else "<I", data, at + 8, side)
    return data


def webp(side):
    """Lossless; at most 2**14 in width and height, 268e6 pixels."""
    data = encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
    at = data.index(b"VP8L") + 9
    side = min(side, 1 << 14) - 1
    (word,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, word >> 28 << 28 | side << 14 | side)
    return data


def jpeg2000(side):
    data = encoded(".jp2")
    for name, at in ((b"ihdr", 4), (b"\xff\x51", 6)):  # the image's header; the codestream's, and its tile's below
        struct.pack_into(">II", data, data.index(name) + at, side, side)
    struct.pack_into(">II", data, data.index(b"\xff\x51") + 22, side, side)
    return data


def ppm(side):
    return b"P6\n%d %d\n255\n" % (side, side) + bytes(64 * 64 * 12)


def pam(side):
    return b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" % (side, side) + bytes(64 * 64 * 12)


def pfm(side):
    return b"PF\n%d %d\n-1.0\n" % (side, side) + bytes(64 * 64 * 12)


def sun(side):
    return struct.pack(">8I", 0x59A66A95, side, side, 24, 3 * side * side % 2**32, 1, 0, 0) + bytes(64 * 64 * 12)


def hdr(side):
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (side, side) + bytes(64 * 64 * 12)


def peak():
    """Megabytes of address space: memory that is taken and not yet written to counts."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmPeak:")) / 1000


if __name__ == "__main__":
    for make in (bmp, tiff, webp, jpeg2000, ppm, pam, pfm, sun, hdr):
        small, huge, before = decode_image(bytes(make(64))), bytes(make(SIDE)), peak()
        there = [image is not None for image in (small, decode_image(huge))]
        print(make.__name__, *there, round(peak() - before))
