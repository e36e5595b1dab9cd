"""How many files this process may have open: each connection is one."""

from __future__ import annotations

import contextlib
import resource


def may_open() -> int:
    """So many."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


def ask_for(count: int) -> None:
    """Let this process open so many, or as many as its system lets it; often 1,024 is what it begins with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if count > may_open():
        with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit beside this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
