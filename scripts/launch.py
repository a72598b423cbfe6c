"""gluon-tricks launch, by the name of its script."""

import interrupt

interrupt.main("launch")
