"""What the kernel keeps in memory of a file that only grows."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path


class GrowingFile:
    """A file to which only this process adds."""

    def __init__(self, path: Path, cached_bytes: int) -> None:
        self._path, self._cached_bytes = path, cached_bytes
        self._begin_bytes = path.stat().st_size

    def uncache(self) -> None:
        """Let go of the kernel's copy of what was added, but for the last `cached_bytes`; the file stays as it is.

        The next pages written then use that memory again.  A file that only grows takes memory that nobody has
        touched yet, and in a virtual machine the first touch of a page costs several times what writing it does.
        Each page is let go of once: one that is read again stays.  Other systems than Linux do as they like.
        """
        if not hasattr(os, "posix_fadvise"):
            return
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            end_bytes = os.fstat(file.fileno()).st_size - self._cached_bytes
            end_bytes -= end_bytes % mmap.PAGESIZE
            if end_bytes > self._begin_bytes:
                _unmap(self._path, self._begin_bytes, end_bytes)
                os.posix_fadvise(
                    file.fileno(), self._begin_bytes, end_bytes - self._begin_bytes, os.POSIX_FADV_DONTNEED
                )
                self._begin_bytes = end_bytes


def _unmap(path: Path, from_bytes: int, to_bytes: int) -> None:
    """Forget where the pages of the shared mappings of a file are: a mapped page is not let go of.

    Each fault maps the pages around it, too, so that a file of which one page in thirty is read is half mapped.
    """
    try:
        madvise = ctypes.CDLL(None).madvise
        mappings = Path("/proc/self/maps").read_bytes()
    except (OSError, AttributeError, TypeError):
        return
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    name = b" " + os.fsencode(path.resolve()) + b"\n"
    at = mappings.find(name)
    while at >= 0:
        place, access, offset, *_ = mappings[mappings.rfind(b"\n", 0, at) + 1 : at].split()
        begin, end = (int(one, 16) for one in place.split(b"-"))
        if access.endswith(b"s") and int(offset, 16) == 0:  # shared: nothing is in it alone
            end = min(end, begin + to_bytes)
            if begin + from_bytes < end:
                madvise(begin + from_bytes, end - begin - from_bytes, mmap.MADV_DONTNEED)
        at = mappings.find(name, at + 1)
