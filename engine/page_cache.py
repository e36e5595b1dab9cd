"""What the kernel keeps in memory of a file that only grows."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path


class GrowingFile:
    """A file to which only this process adds, and of which it has one shared mapping while this object is used."""

    def __init__(self, path: Path, cached_bytes: int) -> None:
        self._path, self._cached_bytes = path, cached_bytes
        self._begin_bytes = path.stat().st_size
        self._mapping = _mapping_of(path)

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
            size_bytes = end_bytes - self._begin_bytes
            if size_bytes > 0:
                self._unmap(size_bytes)
                os.posix_fadvise(file.fileno(), self._begin_bytes, size_bytes, os.POSIX_FADV_DONTNEED)
                self._begin_bytes = end_bytes

    def _unmap(self, size_bytes: int) -> None:
        """Forget where those pages are, since a mapped page is not let go of; who reads them finds them again.

        Each fault maps the pages around it, too, so that a file of which one page in thirty is read is half mapped.
        """
        place = self._mapping.start + self._begin_bytes
        if place + size_bytes <= self._mapping.stop:
            _madvise(place, size_bytes, mmap.MADV_DONTNEED)


def _mapping_of(path: Path) -> range:
    """The addresses where this process has mapped a file from its beginning; none where it cannot be told."""
    try:
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return range(0)
    for line in mappings:
        place, access, offset, _, _, *name = line.split(maxsplit=5)
        # Shared: what is in a private mapping may be there alone.
        if name == [os.fspath(path.resolve())] and access.endswith("s") and int(offset, 16) == 0:
            return range(*(int(one, 16) for one in place.split("-")))
    return range(0)


def _madvise(place: int, size_bytes: int, advice: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        function = ctypes.CDLL(None).madvise
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        function(place, size_bytes, advice)
