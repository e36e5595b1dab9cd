"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes by the clock says more about the machine than about the code; support/cpu_time.py bounds it.
settings.register_profile("ringup", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ringup")
