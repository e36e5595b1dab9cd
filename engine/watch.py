"""Watchers of availability: the latest value of each item, when it is durable.

A watcher that does not read has at most one value an item waiting: a newer one takes its place.
"""

from __future__ import annotations

import asyncio

from ringup.native.core import Core
from ringup.v1 import event_pb2, result_pb2

Value = tuple[int, int]  # available in thousandths or -1 for unlimited, version


class Watch:
    """One stream's items and what it has not been told yet."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.pending: dict[int, Value] = {}
        self.changed = asyncio.Event()

    def put(self, key: int, value: Value) -> None:
        """Tell a value, unless a newer one waits."""
        waiting = self.pending.get(key)
        if waiting is None or waiting[1] <= value[1]:
            self.pending[key] = value
        self.changed.set()

    def take(self, resume_token: str) -> event_pb2.WatchAvailabilityResponse:
        """All that waits, as a message."""
        waiting, self.pending = self.pending, {}
        self.changed.clear()
        message = event_pb2.WatchAvailabilityResponse(code=result_pb2.RESULT_CODE_OK, resume_token=resume_token)
        for key, (available, version) in waiting.items():
            message.items.add(
                item_id=self.names[key],
                available_milli=max(available, 0),
                unlimited=available < 0,
                version=version,
            )
        return message


class Watches:
    """All watchers of an engine.  Use it on the event loop's thread."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_key: dict[int, set[Watch]] = {}
        self._all: set[Watch] = set()

    def open(self, request: bytes) -> tuple[Watch, dict[int, Value]]:
        """A watcher of what a valid WatchAvailabilityRequest names, and the values of the last batch that ended.

        Those values may not be durable yet: they are the caller's to tell when they are.
        """
        names: dict[int, str] = {}
        values: dict[int, Value] = {}
        for key, item, available, version in self._core.watch(request):
            names[key], values[key] = item, (available, version)
        watch = Watch(names)
        for key in names:
            self._by_key.setdefault(key, set()).add(watch)
        self._all.add(watch)
        return watch, values

    def close(self, watch: Watch) -> None:
        """Forget a watcher."""
        self._all.discard(watch)
        self._core.unwatch(list(watch.names))
        for key in watch.names:
            self._by_key[key].discard(watch)
            if not self._by_key[key]:
                del self._by_key[key]

    def committed(self, changes: list[tuple[int, int, int]]) -> None:
        """The changes of a batch that is durable now."""
        for key, available, version in changes:
            for watch in self._by_key.get(key, ()):
                watch.put(key, (available, version))

    def drain(self) -> None:
        """Wake all watchers for the last time."""
        for watch in self._all:
            watch.changed.set()
