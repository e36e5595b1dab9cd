"""How fast the engine is, beside floors and peers measured in the same run: `make bench`."""
