"""A process of its own in which OpenCV parses Caffe's files: a damaged one may end it, but not who waits for it.

    python caffe_reader.py NET.prototxt NET.caffemodel SIDE ARRAYS.npz

writes the layers that have numbers, in their order, and what the last of them computes of random images (2, 3, SIDE,
SIDE), one as photos are and one so small that biases count. It imports nothing of this package, which would load MXNet
too.
"""

import json
import os
import resource
import sys

import cv2
import numpy as np

_MEMORY = 6 << 30  # bytes, beside six times the file: VGG-19's 574 MB take less than 3 GB


def main(prototxt: str, caffemodel: str, side: str, target: str) -> None:
    most = _MEMORY + 6 * os.path.getsize(caffemodel)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    net = cv2.dnn.readNetFromCaffe(prototxt, caffemodel)
    layers = [(name, net.getLayer(net.getLayerId(name))) for name in net.getLayerNames()]
    layers = [(name, layer.type, [np.array(blob) for blob in layer.blobs]) for name, layer in layers]
    layers = [layer for layer in layers if layer[2]]
    arrays = {f"{k}.{i}": blob for k, (*_, blobs) in enumerate(layers) for i, blob in enumerate(blobs)}
    arrays["layers"] = np.array(json.dumps([[name, kind, len(blobs)] for name, kind, blobs in layers]))
    if layers:
        images = np.random.default_rng(0).normal(0, 1, (2, 3, int(side), int(side))).astype("float32")
        images[0] *= 60
        net.enableWinograd(False)  # which errs by 1e-3
        net.setInput(images)
        arrays["images"], arrays["output"] = images, net.forward(layers[-1][0])
    np.savez(target, **arrays)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (cv2.error, MemoryError) as error:
        reason = getattr(error, "err", "") or "it takes too much memory"
        sys.exit(f"{reason}")
