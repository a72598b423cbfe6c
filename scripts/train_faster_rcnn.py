"""gluon-tricks detect, by the name of its script."""

import interrupt

interrupt.main("detect")
