"""Simulated devices for training and tests: over TCP, over a pty, or in process, able to fail on command."""
