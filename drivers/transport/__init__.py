"""Bytes to and from a device, with deadlines.  No transport knows what the bytes mean."""
