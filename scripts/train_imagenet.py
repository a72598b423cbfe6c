"""gluon-tricks train, by the name of its script."""

import interrupt

interrupt.main("train")
