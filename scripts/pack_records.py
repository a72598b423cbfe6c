"""gluon-tricks pack, by the name of its script."""

import interrupt

interrupt.main("pack")
