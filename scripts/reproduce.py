"""gluon-tricks reproduce, by the name of its script."""

import interrupt

interrupt.main("reproduce")
