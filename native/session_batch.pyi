import asyncio
from collections import deque
from collections.abc import Callable

NEVER_SENT: int
SENT: int
UNSURE: int

class Pending:
    @property
    def answer(self) -> asyncio.Future[bytes]: ...
    command: bytes
    @property
    def deadline_s(self) -> float: ...
    state: int
    def __init__(self, answer: asyncio.Future[bytes], command: bytes, deadline_s: float) -> None: ...

def take(
    queue: deque[Pending],
    commands_max: int,
    bytes_max: int,
    answered_s: float,
    turn_away: Callable[[Pending], None],
) -> list[Pending]: ...
def session_request(batch: list[Pending]) -> bytes: ...
def split_replies(data: bytes) -> tuple[list[bytes], bool]: ...
def answer(batch: list[Pending], replies: list[bytes]) -> None: ...
