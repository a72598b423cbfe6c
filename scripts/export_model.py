"""gluon-tricks export, by the name of its script."""

import interrupt

interrupt.main("export")
