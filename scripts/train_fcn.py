"""gluon-tricks segment, by the name of its script."""

import interrupt

interrupt.main("segment")
