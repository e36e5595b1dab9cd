"""What a serial scanner sends, cut into scans: prefix and suffix over any chunking of the stream.

A suffix is what ends a scan. Where several are allowed (CR, LF, TAB by default) they may follow each other, so CR LF
ends one scan and not two, wherever the chunks are cut. Nothing that arrives is dropped in silence: what is no scan
comes out as noise with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError

SCAN_SIZE_MAX = 8192
DEFAULT_SUFFIXES = (b"\r", b"\n", b"\t")


@dataclass(frozen=True, slots=True)
class ScanData:
    """One whole scan, without prefix and suffix. `text` is UTF-8, or ISO 8859-1 where the bytes are not UTF-8."""

    data: bytes

    @property
    def text(self) -> str:
        return scan_text(self.data)


@dataclass(frozen=True, slots=True)
class ScanNoise:
    """Bytes that are no scan, and why: no prefix before them, or too long without a suffix."""

    data: bytes
    reason: str


ScanEvent = ScanData | ScanNoise


def scan_text(data: bytes) -> str:
    """Return the text of a scan's bytes; a scanner says nothing about its encoding, so UTF-8 is tried first.

    >>> scan_text(b"caf\\xc3\\xa9"), scan_text(b"caf\\xe9")
    ('café', 'café')
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class ScanFramer:
    """Cuts a stream into scans.

    `prefix` is what the scanner sends before each scan (often none, or STX); `suffixes` what it may send after.
    With no suffix at all the caller ends a scan by `flush` after a pause, as the scanner device does.

    >>> framer = ScanFramer(prefix=b"\\x02")
    >>> framer.feed(b"\\x024006381333931\\r\\n\\x02963") + framer.feed(b"85074\\r")
    [ScanData(data=b'4006381333931'), ScanData(data=b'96385074')]
    """

    def __init__(
        self, *, prefix: bytes = b"", suffixes: Sequence[bytes] = DEFAULT_SUFFIXES, size_max: int = SCAN_SIZE_MAX
    ) -> None:
        if any(not suffix for suffix in suffixes):
            raise ParseError("expected suffixes of one byte or more, found an empty one; leave it out")
        if any(a != b and b.startswith(a) and len(b) > 1 for a in suffixes for b in suffixes):
            raise ParseError("expected suffixes of which none begins another, found such a pair; keep the shorter one")
        if size_max < 1:
            raise ParseError(f"expected size_max of 1 or more, found {size_max}")
        self._prefix = prefix
        self._suffixes = tuple(suffixes)
        self._keep = max((len(suffix) for suffix in suffixes), default=1) - 1
        self._size_max = size_max
        self._buffer = bytearray()
        self._searched_size = 0  # up to here there is no suffix
        self._is_overlong = False

    @property
    def pending_size(self) -> int:
        """Bytes received since the last suffix."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[ScanEvent]:
        """Take bytes in any chunking; return the scans and noise that are complete now."""
        events: list[ScanEvent] = []
        self._buffer += data
        limit = self._size_max + len(self._prefix)
        while True:
            cut = self._find()
            start = len(self._buffer) - self._keep if cut is None else cut[0]
            if start > limit:
                # Reported in pieces, so that a device gone mad costs no memory, the same for any chunking.
                piece = bytes(self._buffer[:limit])
                events.append(ScanNoise(piece, f"more than {self._size_max} bytes without a suffix"))
                del self._buffer[:limit]
                self._searched_size = max(0, self._searched_size - limit)
                self._is_overlong = True
                continue
            if cut is None:
                break
            frame = bytes(self._buffer[:start])
            del self._buffer[: cut[1]]
            self._searched_size = 0
            self._finish(frame, events)
        self._searched_size = max(0, len(self._buffer) - self._keep)
        return events

    def flush(self) -> list[ScanEvent]:
        """End the scan that has begun, as a pause does where the scanner sends no suffix."""
        events: list[ScanEvent] = []
        frame = bytes(self._buffer)
        self._buffer.clear()
        self._searched_size = 0
        self._finish(frame, events)
        return events

    def reset(self) -> None:
        """Forget what has begun: the link was lost."""
        self._buffer.clear()
        self._searched_size = 0
        self._is_overlong = False

    def _find(self) -> tuple[int, int] | None:
        best: tuple[int, int] | None = None
        for suffix in self._suffixes:
            at = self._buffer.find(suffix, self._searched_size)
            if at >= 0 and (best is None or at < best[0]):
                best = at, at + len(suffix)
        return best

    def _finish(self, frame: bytes, events: list[ScanEvent]) -> None:
        if self._is_overlong:
            self._is_overlong = False
            if frame:
                events.append(ScanNoise(frame, "the end of a scan that was too long"))
            return
        if not frame:
            return
        if not self._prefix:
            events.append(ScanData(frame))
            return
        at = frame.find(self._prefix)
        if at < 0:
            events.append(ScanNoise(frame, "no prefix before it"))
            return
        if at:
            events.append(ScanNoise(frame[:at], "no prefix before it"))
        # A second prefix means that the suffix before it was lost: two scans, and no way to trust the first.
        parts = frame[at + len(self._prefix) :].split(self._prefix)
        events.extend(ScanNoise(part, "no suffix after it") for part in parts[:-1] if part)
        if parts[-1]:
            events.append(ScanData(parts[-1]))
