"""gluon-tricks report, by the name of its script."""

import interrupt

interrupt.main("report")
