"""gluon-tricks benchmark, by the name of its script."""

import interrupt

interrupt.main("benchmark")
