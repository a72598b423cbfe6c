"""gluon-tricks tag, by the name of its script."""

import interrupt

interrupt.main("tag")
