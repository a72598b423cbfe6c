"""gluon-tricks evaluate, by the name of its script."""

import interrupt

interrupt.main("evaluate")
