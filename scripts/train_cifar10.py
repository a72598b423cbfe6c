"""gluon-tricks train as GluonCV's script of this name reads its command line."""

import interrupt

interrupt.main("train", "--script", "train_cifar10")
