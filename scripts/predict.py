"""gluon-tricks predict, by the name of its script."""

import interrupt

interrupt.main("predict")
