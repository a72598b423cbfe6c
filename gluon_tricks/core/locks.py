"""Locks on files, by which processes keep out of each other's way."""

from __future__ import annotations

import errno
import fcntl


def lock(file) -> None:
    """Locks an open file until it is closed, or its process dies; where its file system has no locks, nothing is done.

    Args:
        file: with fileno(), or a descriptor.

    Raises:
        BlockingIOError: another process has locked it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # Lustre without -o flock, NFS without lockd
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
