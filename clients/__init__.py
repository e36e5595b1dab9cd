"""Thin clients for tills and shops."""

if __name__ != "ringup.clients":
    raise ImportError(f"import ringup.clients, not {__name__}: a second copy of the package would be loaded")
