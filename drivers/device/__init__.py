"""Devices: one owner thread, one queue, states, health and events for each physical device."""
