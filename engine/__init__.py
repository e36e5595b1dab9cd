"""The engine around the core: edge, sequencer, store, services and the command line."""

if __name__ != "ringup.engine":
    raise ImportError(f"import ringup.engine, not {__name__}: a second copy of the package would be loaded")
