"""price_*: baskets with promotions, beside django-oscar and a plain-Python oracle.

The measurements are in `bench/kernels_pricing.py`: a function `figures(quick)` that gives the figures by
their keys.  This part runs it where it is.
"""

from __future__ import annotations

import importlib
import importlib.util

from bench.measure import Bench, Skipped

TITLE = "Prices with promotions, beside django-oscar and plain Python"


def run(bench: Bench) -> None:
    """Write down what the pricing kernels measured."""
    if importlib.util.find_spec("bench.kernels_pricing") is None:
        raise Skipped("bench/kernels_pricing.py is not there yet")
    kernels = importlib.import_module("bench.kernels_pricing")
    for key, value in kernels.figures(quick=bench.quick).items():
        bench.put(key, value)
