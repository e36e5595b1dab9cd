"""What holds for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

from ringup.native.index import set_index_key

# Each run has another key for the core's indexes: nothing may depend on it.  The variable replays a run's own.
INDEX_KEY = os.environ.get("RINGUP_INDEX_KEY") or os.urandom(32).hex()
set_index_key(bytes.fromhex(INDEX_KEY))

# A shell's background job ignores interrupts, and so do all that it starts: tests that send one would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes by the clock says more about the machine than about the code; support/cpu_time.py bounds it.
settings.register_profile("ringup", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ringup")


def pytest_report_header() -> str:
    """The key of this run's indexes."""
    return f"RINGUP_INDEX_KEY={INDEX_KEY}"
