"""How long a command will wait behind others, judged by the batches that were answered last.  No I/O, no clock.

An engine is much faster with many commands in a batch than with one, so that the time of a small batch says
little about a large backlog.  A wait is therefore only foretold for backlogs like those that were seen; what a
longer one adds is not known, and nothing is turned away for it, until its first batch is answered.
"""

from __future__ import annotations

from ringup.native.session_batch import Admission

AMORTIZED_COMMANDS = 256
"""From so many commands on a batch's own cost no longer shows in the time for one of them."""
FORETOLD_BATCHES = 5
"""A backlog of up to so many times the usual batch is like what was seen: three in flight, and what waits."""
CAUTION = 0.7
"""The share of the time left that a wait may take: the rest is for an engine that slows down meanwhile."""
_KEPT = 0.5  # the weight of what was known before, at each answered batch
_KEPT_LONG = 0.8
"""The same of the long memory, by which commands are admitted as well: a quick batch must not let in what then has to
be turned away after it has waited."""
_KEPT_LARGE = 0.8
"""How much of the largest batch's size is remembered, at each answered batch: where many are turned away few wait and
the next batches are small, but the backlog that follows them is as large as the one before."""


class Pace(Admission):
    """The time for one command, from the latest batches, large ones counting more."""

    def __init__(self) -> None:
        super().__init__(CAUTION)
        self._batches = self._commands = self._seconds = 0.0
        self._answered_at_s = 0.0
        self._long_commands = self._long_seconds = 0.0
        self._latest_command_s = 0.0
        self._large_commands = 0.0

    def answered(self, commands: int, sent_at_s: float, now_s: float) -> None:
        """Note the answer to a batch; the engine was free for it once the batch before was answered."""
        took_s = now_s - max(sent_at_s, self._answered_at_s)
        self._answered_at_s = now_s
        self._batches = self._batches * _KEPT + 1
        self._commands = self._commands * _KEPT + commands
        self._seconds = self._seconds * _KEPT + took_s
        self._latest_command_s = self._seconds / self._commands if self._commands else 0.0
        self._long_commands = self._long_commands * _KEPT_LONG + commands
        self._long_seconds = self._long_seconds * _KEPT_LONG + took_s
        long_command_s = self._long_seconds / self._long_commands if self._long_commands else 0.0
        self.command_s = max(self._latest_command_s, long_command_s)
        self.foretold_commands = _foretold(self._commands / self._batches)
        self._large_commands *= _KEPT_LARGE
        if commands and commands >= self._large_commands:
            self._large_commands, self.large_command_s = commands, took_s / commands
        self.large_foretold_commands = _foretold(self._large_commands)

    def wait_s(self, ahead: int) -> float:
        """Return how long so many commands will take at least, as far as that can be told.

        By the latest batches or by the largest of them, whichever says more.
        """
        latest_s = min(ahead, self.foretold_commands) * self._latest_command_s
        return max(latest_s, min(ahead, self.large_foretold_commands) * self.large_command_s)


def _foretold(commands: float) -> float:
    """Up to which backlog batches of so many commands are experience."""
    return float("inf") if commands >= AMORTIZED_COMMANDS else FORETOLD_BATCHES * commands
