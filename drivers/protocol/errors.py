"""The one error of the protocol layer."""

from __future__ import annotations


class ParseError(ValueError):
    """What was read is not what the protocol allows; the message says what was expected and what was found."""
