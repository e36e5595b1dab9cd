"""What becomes of the memory of records and messages when they are done with."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT_BYTES = 32 << 20
OWN_MAPPING_BYTES = 1 << 20


def keep_freed_memory() -> None:
    """Have this process keep the memory of records and messages that it frees, for the next ones.

    By default glibc gives blocks of such sizes back to the system, which has to zero them page by page when they
    are taken again: 2.5 times the work of making a record of 300 KB.  Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)  # the tables' own blocks are larger
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
