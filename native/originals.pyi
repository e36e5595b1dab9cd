from collections.abc import Callable
from typing import Final

from ringup.native.core import Core

FILLED_BYTES_MAX: Final[int]

def with_originals(
    core: Core,
    request: bytes,
    requests_at: Callable[[set[tuple[int, int]]], dict[tuple[int, int], bytes]],
) -> bytes: ...
