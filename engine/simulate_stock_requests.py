"""The requests that the steps of a stock case stand for, and its quantities, names and times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

from ringup.v1 import catalog_pb2, stock_pb2

Json = dict[str, Any]
MILLI_PER_UNIT = 1000
TIME_NS_MAX = 9_000_000_000_000_000_000  # as in native/limits.pxd
DAYS_MAX = 4_000_000  # more days than a calendar of four-digit years has
POLICY_KEYS = frozenset(
    {"track", "backorder", "backorder_at", "safety", "decimals", "min_qty"}
    | {"max_qty", "step", "removal", "count_floor", "preorder", "kit", "kit_apart"}
)
KIT_KEYS = frozenset({"kit", "kit_apart"})
NAMES_AN_ITEM = frozenset({"receive", "count", "reorder", "set_policy"})


class InvalidQuantityError(ValueError):
    """A quantity that the API cannot even carry."""


def to_milli(value: Any) -> int:
    """Milli-units of a quantity as a case writes it.  Raises InvalidQuantityError."""
    if isinstance(value, bool | float) or not isinstance(value, int | Decimal | str):
        raise InvalidQuantityError(f"expected an int or a decimal, found {value!r}")
    try:
        scaled = Decimal(value) * MILLI_PER_UNIT
    except InvalidOperation:
        raise InvalidQuantityError(f"expected a number, found {value!r}") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or abs(scaled) >= 2**62:
        raise InvalidQuantityError(f"expected at most three decimals and 18 digits, found {str(value)[:40]}")
    return int(scaled)


def from_milli(qty_milli: int) -> int | Decimal:
    """A quantity as a case writes it: an int when whole, else an exact decimal."""
    if qty_milli % MILLI_PER_UNIT == 0:
        return qty_milli // MILLI_PER_UNIT
    return (Decimal(qty_milli) / MILLI_PER_UNIT).normalize()


def id_of(kind: str, name: str) -> bytes:
    """16 bytes that stand for a name."""
    return hashlib.blake2b(f"{kind}:{name}".encode(), digest_size=16).digest()


def to_ns(text: str | None) -> int:
    """ns since 1970 of an ISO date or time (no zone: UTC); zero for none.

    Only the order of dates counts, so those that an engine does not keep (9999-12-31, often meant as never) have it by
    the day: they lie in the first and the last few milliseconds that there are.
    """
    if text is None:
        return 0
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    now_ns = since // timedelta(microseconds=1) * 1000
    if now_ns <= DAYS_MAX:
        return max(DAYS_MAX // 4 + since.days, 1)
    return min(now_ns, TIME_NS_MAX - DAYS_MAX + since.days)


def goods(row: Json) -> stock_pb2.StockLine:
    """Goods that come in, by lot and dates, as a row of the setup or a receipt says; without their quantity."""
    return stock_pb2.StockLine(
        item_id=row["sku"],
        lot_id=row.get("lot") or "",
        received_ns=to_ns(row.get("received")),
        expires_ns=to_ns(row.get("expiry")),
        barred=not row.get("saleable", True),
    )


def in_parts(*quantities: Any) -> bool:
    """Whether one of the quantities is no whole number of units."""
    return any(to_milli(qty) % MILLI_PER_UNIT for qty in quantities if qty is not None)


def with_decimals(policy: Json, written: Json) -> Json:
    """A policy, measured where that is not said but something just written of it is in parts of a unit."""
    backorder = written.get("backorder")
    limit = backorder["limit"] if isinstance(backorder, dict) else None
    if in_parts(limit, *(written.get(name) for name in ("safety", "min_qty", "max_qty", "step"))):
        return {"decimals": True} | policy
    return policy


class CaseRequests:
    """What a case names, and one request for each of its steps; `send_item` is called when an item changes."""

    def __init__(self, case: Json) -> None:
        self.case = case
        self.setup = case["setup"]
        self.places = {
            place if isinstance(place, str) else place["id"]: isinstance(place, str) or place.get("enabled", True)
            for place in self.setup["locations"]
        }
        self.channels: Json = self.setup.get("channels") or {"all": {"locations": list(self.places)}}
        self.policies: dict[str, Json] = {sku: dict(policy) for sku, policy in self.setup.get("skus", {}).items()}
        for row in self.setup.get("stock", []):
            self.policies.setdefault(row["sku"], {})
        for policy in list(self.policies.values()):
            for part in policy.get("kit") or {}:
                self.policies.setdefault(part, {})
        for step in chain(case["steps"], *(step.get("steps", []) for step in case["steps"])):
            if step["op"] in NAMES_AN_ITEM:  # goods may be the first that a case says of an item
                self.policies.setdefault(step["sku"], {})
        for sku, policy in self.policies.items():
            self.policies[sku] = with_decimals(policy, policy)
        for row in self.setup.get("stock", []):
            if in_parts(row["on_hand"], row.get("incoming")):
                self.policies[row["sku"]].setdefault("decimals", True)

    def kit(self, sku: str) -> stock_pb2.Kit:
        """A kit as the policies have it; without parts it is none."""
        written = self.policies[sku]
        parts = [
            stock_pb2.KitPart(item_id=part, qty_milli=to_milli(qty)) for part, qty in (written.get("kit") or {}).items()
        ]
        return stock_pb2.Kit(item_id=sku, parts=parts, parts_apart=written.get("kit_apart", False))

    def send_item(self, item: catalog_pb2.Item) -> None:
        """Make an item known as it is from now on."""
        raise NotImplementedError

    def item(self, sku: str) -> catalog_pb2.Item:
        policy = self.policies[sku]
        return catalog_pb2.Item(
            item_id=sku,
            name=sku,
            measured=policy.get("decimals", False),
            untracked=not policy.get("track", True),
        )

    def policy(self, sku: str) -> stock_pb2.StockPolicy:
        written = self.policies[sku]
        backorder = written.get("backorder") or False
        removal = {
            "fifo": stock_pb2.REMOVAL_FIFO,
            "lifo": stock_pb2.REMOVAL_LIFO,
            "fefo": stock_pb2.REMOVAL_FEFO,
        }
        made = stock_pb2.StockPolicy(
            item_id=sku,
            backorder=backorder is True,
            backorder_limit_milli=to_milli(backorder["limit"]) if isinstance(backorder, dict) else 0,
            backorder_location_id=written.get("backorder_at") or "",
            safety_milli=to_milli(written.get("safety") or 0),
            min_qty_milli=to_milli(written.get("min_qty") or 0),
            max_qty_milli=to_milli(written.get("max_qty") or 0),
            step_milli=to_milli(written.get("step") or 0),
            removal=removal[written.get("removal") or "fifo"],
            count_floor_allocated=written.get("count_floor") == "allocated",
            preorder=written.get("preorder") is not None,
        )
        preorder = written.get("preorder") or {}
        if preorder.get("total") is not None:
            made.preorder_total_milli = to_milli(preorder["total"])
        for name, limit in (preorder.get("channels") or {}).items():
            if limit is not None:
                made.preorder_quotas.add(channel_id=name, qty_milli=to_milli(limit))
        return made

    def request(self, step: Json) -> tuple[str, Any]:
        """(method, request) of a step; no method for the passing of time.  Raises InvalidQuantityError."""
        op = step["op"]
        if op == "tick":
            return "", None
        maker: Callable[[Json], tuple[str, Any]] | None = getattr(self, f"make_{op}", None)
        if maker is None:
            raise ValueError(f"{self.case['id']}: no operation is called {op!r}")
        return maker(step)

    def scope(self, step: Json) -> Json:
        """The fields location_id and scope of a request."""
        fields: Json = {}
        scope = stock_pb2.Scope(
            channel_id=step.get("channel", ""),
            location_ids=step.get("locations", []),
            collection_point_id=step.get("collection_point", ""),
        )
        if "location" in step:
            fields["location_id"] = step["location"]
        if scope.ByteSize():
            fields["scope"] = scope
        return fields

    def lines(self, step: Json) -> list[stock_pb2.StockLine]:
        return [
            stock_pb2.StockLine(
                item_id=line["sku"], qty_milli=to_milli(line["qty"]), location_id=line.get("location", "")
            )
            for line in step.get("lines", [])
        ]

    def ttl_ms(self, step: Json) -> int:
        """No ttl is no deadline; a ttl that is not ahead has no form but one below zero.

        Raises InvalidQuantityError for one that is finer than a thousandth of a second.
        """
        if step.get("ttl") is None:
            return 0
        return max(to_milli(step["ttl"]), 0) or -1

    # One method an operation: its request

    def make_check(self, step: Json) -> tuple[str, Any]:
        hold: Json = {"hold_id": id_of("hold", step["hold"])} if "hold" in step else {}
        return "CheckStock", stock_pb2.CheckStockRequest(
            item_id=step["sku"], qty_milli=to_milli(step["qty"]), **self.scope(step), **hold
        )

    def make_query(self, step: Json) -> tuple[str, Any]:
        return "GetPromise", stock_pb2.GetPromiseRequest(item_ids=[step["sku"]], **self.scope(step))

    def make_hold(self, step: Json) -> tuple[str, Any]:
        return "HoldStock", stock_pb2.HoldStockRequest(
            hold_id=id_of("hold", step["ref"]),
            lines=self.lines(step),
            ttl_ms=self.ttl_ms(step),
            partial=step.get("mode") == "partial",
            owner=step["ref"][:60] if step["ref"].isascii() else "",
            **self.scope(step),
        )

    def make_resize(self, step: Json) -> tuple[str, Any]:
        return "ResizeHold", stock_pb2.ResizeHoldRequest(hold_id=id_of("hold", step["ref"]), lines=self.lines(step))

    def make_extend(self, step: Json) -> tuple[str, Any]:
        return "ExtendHold", stock_pb2.ExtendHoldRequest(hold_id=id_of("hold", step["ref"]), ttl_ms=self.ttl_ms(step))

    def make_release(self, step: Json) -> tuple[str, Any]:
        request = stock_pb2.ReleaseHoldRequest(hold_id=id_of("hold", step["ref"]))
        if step.get("qty") is not None:
            request.qty_milli = to_milli(step["qty"])
        return "ReleaseHold", request

    def make_commit(self, step: Json) -> tuple[str, Any]:
        request = stock_pb2.CommitHoldRequest(hold_id=id_of("hold", step["ref"]))
        if step.get("qty") is not None:
            request.qty_milli = to_milli(step["qty"])
        return "CommitHold", request

    def make_place(self, step: Json) -> tuple[str, Any]:
        hold: Json = {"hold_id": id_of("hold", step["hold"])} if "hold" in step else {}
        return "PlaceOrder", stock_pb2.PlaceOrderRequest(
            order_id=step["order"], lines=self.lines(step), add=step.get("add", False), **self.scope(step), **hold
        )

    def make_cancel(self, step: Json) -> tuple[str, Any]:
        return "CancelOrder", stock_pb2.CancelOrderRequest(order_id=step["order"], lines=self.lines(step))

    def make_ship(self, step: Json) -> tuple[str, Any]:
        return "ShipOrder", stock_pb2.ShipOrderRequest(order_id=step["order"], lines=self.lines(step))

    def make_unship(self, step: Json) -> tuple[str, Any]:
        return "UnshipOrder", stock_pb2.UnshipOrderRequest(order_id=step["order"])

    def make_return(self, step: Json) -> tuple[str, Any]:
        request = stock_pb2.ReturnOrderRequest(
            order_id=step["order"],
            item_id=step["sku"],
            qty_milli=to_milli(step["qty"]),
            location_id=step["location"],
        )
        if step.get("restock") is not None:
            request.restock_milli = to_milli(step["restock"])
        return "ReturnOrder", request

    def make_sell(self, step: Json) -> tuple[str, Any]:
        return "SellStock", stock_pb2.SellStockRequest(
            location_id=step["location"], lines=self.lines(step), partial=step.get("mode") == "partial"
        )

    def make_adjust(self, step: Json) -> tuple[str, Any]:
        lines = [
            stock_pb2.StockLine(item_id=step["sku"], qty_milli=to_milli(step["delta"]), lot_id=step.get("lot") or "")
        ]
        return "AdjustStock", stock_pb2.AdjustStockRequest(
            location_id=step["location"], lines=lines, reason=step["reason"]
        )

    def make_count(self, step: Json) -> tuple[str, Any]:
        request = stock_pb2.CountStockRequest(
            location_id=step["location"],
            item_id=step["sku"],
            on_hand_milli=to_milli(step["on_hand"]),
            lot_id=step.get("lot") or "",
        )
        if step.get("book") is not None:
            request.book_milli = to_milli(step["book"])
        return "CountStock", request

    def make_receive(self, step: Json) -> tuple[str, Any]:
        line = goods(step)
        line.qty_milli = to_milli(step["qty"])
        return "ReceiveStock", stock_pb2.ReceiveStockRequest(location_id=step["location"], lines=[line])

    def make_transfer(self, step: Json) -> tuple[str, Any]:
        return "TransferStock", stock_pb2.TransferStockRequest(
            item_id=step["sku"],
            qty_milli=to_milli(step["qty"]),
            from_location_id=step["from"],
            to_location_id=step["to"],
        )

    def make_remove_position(self, step: Json) -> tuple[str, Any]:
        return "RemovePosition", stock_pb2.RemovePositionRequest(
            item_id=step["sku"], location_id=step["location"], force=step.get("force", False)
        )

    def make_reallocate(self, step: Json) -> tuple[str, Any]:
        return "ReallocateOrder", stock_pb2.ReallocateOrderRequest(
            order_id=step["order"],
            item_id=step["sku"],
            qty_milli=to_milli(step["qty"]),
            from_location_id=step["from"],
            to_location_id=step["to"],
        )

    def make_reorder(self, step: Json) -> tuple[str, Any]:
        multiple_milli = to_milli(step.get("multiple", 1))
        return "ReorderStock", stock_pb2.ReorderStockRequest(
            location_id=step["location"],
            item_id=step["sku"],
            min_milli=to_milli(step["min"]),
            max_milli=to_milli(step["max"]),
            multiple_milli=multiple_milli if multiple_milli else -1,
            order=step.get("order", False),
        )

    def make_set_policy(self, step: Json) -> tuple[str, Any]:
        sku, written = step["sku"], step["policy"]
        if not set(written) <= POLICY_KEYS:
            raise InvalidQuantityError(f"expected policies of {sorted(POLICY_KEYS)}, found {sorted(written)}")
        if sku not in self.policies:
            return "PutStockPolicies", stock_pb2.PutStockPoliciesRequest(policies=[stock_pb2.StockPolicy(item_id=sku)])
        before = self.policies[sku]
        self.policies[sku] = with_decimals(before | written, written)
        try:
            policy, kit = self.policy(sku), self.kit(sku)
            if set(written) <= KIT_KEYS:
                return "PutKits", stock_pb2.PutKitsRequest(kits=[kit])
            if KIT_KEYS & set(written):
                raise InvalidQuantityError(
                    f"expected {sorted(KIT_KEYS)} in a step of their own, found {sorted(written)}"
                )
            if self.item(sku) != self.item_before(sku, before):
                self.send_item(self.item(sku))
        finally:
            self.policies[sku] = before
        return "PutStockPolicies", stock_pb2.PutStockPoliciesRequest(policies=[policy])

    def item_before(self, sku: str, policy: Json) -> catalog_pb2.Item:
        now, self.policies[sku] = self.policies[sku], policy
        try:
            return self.item(sku)
        finally:
            self.policies[sku] = now
