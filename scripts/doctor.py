"""gluon-tricks doctor, by the name of its script."""

import interrupt

interrupt.main("doctor")
