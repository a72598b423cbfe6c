"""FCN on base networks of the zoo: the network and its loss, whole-image evaluation, pixAcc and mIoU."""
