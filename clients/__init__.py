"""Thin clients for tills and shops: `Client` blocks, `AsyncClient` is for asyncio.

Both batch commands by themselves, send again only what is safe with the same id, and say what a missing
answer leaves open.  `line`, `cash`, `qty` and `minor` turn what people write into exact whole numbers.
"""

if __name__ != "ringup.clients":
    raise ImportError(f"import ringup.clients, not {__name__}: a second copy of the package would be loaded")

from ._wire import new_id
from .aio import DEFAULT_TARGET, AsyncClient
from .amounts import major, minor, qty
from .errors import NoAnswer, Overloaded, Refused, RejectedCommand, RingUpError
from .rows import card, cash, line, percent, price, return_line, stock_line
from .sync import Client

__all__ = [
    "DEFAULT_TARGET",
    "AsyncClient",
    "Client",
    "NoAnswer",
    "Overloaded",
    "Refused",
    "RejectedCommand",
    "RingUpError",
    "card",
    "cash",
    "line",
    "major",
    "minor",
    "new_id",
    "percent",
    "price",
    "qty",
    "return_line",
    "stock_line",
]
