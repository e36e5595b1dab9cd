"""Protocols: pure functions and feed(bytes) -> events parsers.  No I/O, no clock, no threads."""
