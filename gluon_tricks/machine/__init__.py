"""What the machine has: devices, precisions, and the doctor's checks."""
