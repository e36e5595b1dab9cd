"""The compiled core: deterministic, without clock, randomness or input and output."""

if __name__ != "ringup.native":
    raise ImportError(f"import ringup.native, not {__name__}: a second copy of the package would be loaded")
