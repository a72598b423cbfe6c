"""What others have trained works here as it did there."""

import csv

import cv2
import mxnet as mx
import numpy as np

from model_zoo import get_model

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # of CIFAR-10's pixels / 255, red, green, blue


def test_gluoncv_s_cifar_resnet20_knows_99_of_100_images(shared_data):
    folder = shared_data / "gluoncv_params"
    net = get_model("cifar_resnet20_v1", pretrained=folder / "cifar_resnet20_v1-0000.params", classes=10)
    with open(folder / "cifar10_png_100" / "trainLabels.csv", encoding="ascii", newline="") as file:
        labels = {int(row["id"]): CLASSES.index(row["label"]) for row in csv.DictReader(file)}
    photos = sorted((folder / "cifar10_png_100").glob("*/*.png"), key=lambda path: int(path.stem))
    pixels = np.stack([cv2.imread(str(path))[:, :, ::-1] for path in photos])
    images = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    predicted = net(mx.nd.array(images)).asnumpy().argmax(axis=1)
    assert len(photos) == 100
    assert sum(predicted == [labels[int(path.stem)] for path in photos]) == 99
