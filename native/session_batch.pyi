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

class Admission:
    foretold_commands: float
    command_s: float
    large_foretold_commands: float
    large_command_s: float
    @property
    def caution(self) -> float: ...
    def __init__(self, caution: float) -> None: ...
    def admits(self, ahead: int, left_s: float) -> bool: ...

class Outbox:
    sent_commands: int
    timer_at_s: float
    is_open: bool
    is_idle: bool
    @property
    def queue(self) -> deque[Pending]: ...
    @property
    def pace(self) -> Admission: ...
    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Admission, command_bytes_max: int) -> None: ...
    def post(self, command: bytes, timeout_s: float) -> asyncio.Future[bytes]: ...

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
