"""Drivers for the till's peripherals.  Stands on its own: imports nothing else of RingUp."""

if __name__ != "ringup.drivers":
    raise ImportError(f"import ringup.drivers, not {__name__}: a second copy of the package would be loaded")
