"""Kernels by themselves, with pytest-benchmark."""
