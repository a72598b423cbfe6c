"""gluon-tricks look, by the name of its script."""

import interrupt

interrupt.main("look")
