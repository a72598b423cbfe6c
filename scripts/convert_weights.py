"""gluon-tricks convert, by the name of its script."""

import interrupt

interrupt.main("convert")
