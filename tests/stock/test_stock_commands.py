"""The handlers of stock: one table of refusals, in the order of the result codes, and what each command does."""

from __future__ import annotations

from typing import Any

import pytest

from ringup.v1 import catalog_pb2
from ringup.v1 import stock_pb2 as pb
from ringup.v1.result_pb2 import ResultCode
from support.core import CoreHarness

DAY_MS = 86_400_000
ID, OTHER = b"0123456789abcdef", b"fedcba9876543210"


class Shop(CoreHarness):
    """A catalogue of four items and three locations, and the commands on its stock."""

    def __init__(self) -> None:
        super().__init__()
        items = [
            catalog_pb2.Item(item_id="tea", name="Tea"),
            catalog_pb2.Item(item_id="rice", name="Rice", measured=True),
            catalog_pb2.Item(item_id="bag", name="Bag", untracked=True),
            catalog_pb2.Item(item_id="mug", name="Mug"),
        ]
        places = [catalog_pb2.Location(location_id=name, disabled=name == "shut") for name in ("store", "shut", "web")]
        self.batch(catalog_pb2.PutItemsRequest(items=items), catalog_pb2.PutLocationsRequest(locations=places))

    def do(self, request: Any) -> tuple[str, Any]:
        """Send a command of its own; the name of its code, and the answer."""
        fresh = type(request).FromString(request.SerializeToString())
        answer = self.send(fresh)
        return ResultCode.Name(answer.code).removeprefix("RESULT_CODE_"), answer

    def read(self, request: Any) -> tuple[str, Any]:
        """Ask a query; the name of its code, and the answer."""
        name = type(request).__name__.removesuffix("Request")
        answer = self.ask(name, request, getattr(pb, name + "Response"))
        return ResultCode.Name(answer.code).removeprefix("RESULT_CODE_"), answer

    def receive(self, item: str, qty_milli: int, location: str = "store") -> None:
        request = pb.ReceiveStockRequest(location_id=location, lines=[line(item, qty_milli)])
        assert self.do(request)[0] == "OK"

    def levels(self, item: str, location: str = "store") -> tuple[int, int, int]:
        _, answer = self.read(pb.GetAvailabilityRequest(item_ids=[item], location_id=location))
        position = answer.positions[0]
        return position.on_hand_milli, position.held_milli, position.free_milli


def line(item: str, qty_milli: int) -> pb.StockLine:
    return pb.StockLine(item_id=item, qty_milli=qty_milli)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def stock_digest(shop: Shop) -> list[bytes]:
    """Of the tables that a movement of stock changes."""
    return [table.digest() for table in shop.core.tables if table.name in ("positions", "holds", "stock_lines")]


LIMIT = 10**12
HOLD_LADDER: list[tuple[str, dict[str, Any]]] = [
    # The first row has every fault; each next row mends what the row above reported.
    ("FIELD_INVALID", {
        "hold_id": b"short", "owner": "x" * 65, "location_id": "nowhere", "ttl_ms": -1, "lines": [line("", 0)] * 2001,
    }),
    ("FIELD_INVALID", {"hold_id": ID}),
    ("TOO_MANY", {"owner": "cart 7"}),
    ("LINES_EMPTY", {"lines": []}),
    ("QTY_INVALID", {"lines": [line("tea", 1500), line("none", LIMIT + 1000)]}),
    ("QTY_INVALID", {"lines": [line("tea", -1000), line("none", LIMIT + 1000)]}),
    ("QTY_TOO_LARGE", {"lines": [line("tea", 6000), line("none", LIMIT + 1000)]}),
    ("TIME_INVALID", {"lines": [line("tea", 6000), line("none", 1000)]}),
    ("TIME_INVALID", {"ttl_ms": 31 * DAY_MS + 1}),
    ("ITEM_UNKNOWN", {"ttl_ms": 31 * DAY_MS}),
    ("LOCATION_UNKNOWN", {"lines": [line("tea", 6000)]}),
    ("POSITION_UNKNOWN", {"location_id": "web"}),
    ("HOLD_PAYING", {"location_id": "shut", "hold_id": OTHER}),
    ("LOCATION_DISABLED", {"hold_id": ID}),
    ("STOCK_INSUFFICIENT", {"location_id": "store"}),
    ("OK", {"lines": [line("tea", 5000), line("bag", 99000)]}),
]  # fmt: skip


def test_hold_reports_the_first_fault_in_the_order_of_the_codes(shop: Shop) -> None:
    shop.receive("tea", 7000)
    shop.receive("tea", 9000, "shut")
    paying = pb.HoldStockRequest(hold_id=OTHER, location_id="store", lines=[line("tea", 2000)])
    assert shop.do(paying)[0] == "OK"
    assert shop.do(pb.PayHoldRequest(hold_id=OTHER, ttl_ms=1000))[0] == "OK"
    fields: dict[str, Any] = {}
    for expected, mended in HOLD_LADDER:
        fields |= mended
        found, answer = shop.do(pb.HoldStockRequest(**fields))
        assert found == expected, (expected, answer)
        if expected != "OK":
            assert shop.levels("tea") == (7000, 2000, 5000)
    assert shop.levels("tea") == (7000, 7000, 0)
    assert shop.levels("bag") == (0, 0, 0)
    assert answer.deadline_ns == shop.now_ns + 31 * DAY_MS * 10**6


def test_a_shortage_says_which_line_and_how_much_there_is(shop: Shop) -> None:
    shop.receive("tea", 5000)
    lines = [line("bag", 1000), line("tea", 3000), line("tea", 3000)]
    found, answer = shop.do(pb.HoldStockRequest(location_id="store", lines=lines))
    assert found == "STOCK_INSUFFICIENT"
    assert (answer.problem.field, answer.problem.index, answer.problem.subject) == ("lines.qty_milli", 1, "tea")
    assert (answer.problem.found, answer.problem.limit) == (6000, 5000)


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("receive_stock", {"reference": "x" * 201}, "FIELD_INVALID"),
        ("receive_stock", {"lines": [line("tea", -1000)]}, "QTY_INVALID"),
        ("receive_stock", {"lines": [line("rice", 1)]}, "OK"),
        ("receive_stock", {"lines": [line("rice", LIMIT), line("rice", 1)]}, "QTY_TOO_LARGE"),
        ("receive_stock", {"lines": [line("tea", LIMIT - 4000)]}, "QTY_TOO_LARGE"),
        ("receive_stock", {"location_id": ""}, "LOCATION_UNKNOWN"),
        ("receive_stock", {"location_id": "shut"}, "OK"),
        ("adjust_stock", {"reason": ""}, "REASON_MISSING"),
        ("adjust_stock", {"reason": "x" * 201}, "FIELD_INVALID"),
        ("adjust_stock", {"lines": [line("tea", 0)]}, "QTY_INVALID"),
        ("adjust_stock", {"lines": [line("tea", -6000)]}, "STOCK_BELOW_LIMIT"),
        ("adjust_stock", {"lines": [line("tea", -3000), line("tea", -3000)]}, "STOCK_BELOW_LIMIT"),
        ("adjust_stock", {"lines": [line("tea", -8000), line("tea", 3000)]}, "OK"),
        ("adjust_stock", {"lines": [line("tea", LIMIT), line("tea", -3000)]}, "STOCK_BELOW_LIMIT"),
        ("adjust_stock", {"lines": [line("bag", -3000)]}, "OK"),
    ],
)
def test_goods_in_and_corrections(shop: Shop, name: str, fields: dict[str, Any], expected: str) -> None:
    shop.receive("tea", 5000)
    default: dict[str, Any] = {"location_id": "store", "lines": [line("tea", 1000)]}
    if name == "adjust_stock":
        default["reason"] = "found"
    request = getattr(pb, {"receive_stock": "ReceiveStockRequest", "adjust_stock": "AdjustStockRequest"}[name])
    before = stock_digest(shop)
    found, _ = shop.do(request(**(default | fields)))
    assert found == expected
    assert (stock_digest(shop) == before) == (expected != "OK" or fields.get("lines") == [line("bag", -3000)])


def test_the_life_of_a_hold(shop: Shop) -> None:
    shop.receive("tea", 5000)
    hold = pb.HoldStockRequest(location_id="store", lines=[line("tea", 2000)], ttl_ms=1000, owner="cart 7")
    hold.command_id = OTHER
    _, answer = shop.do(hold)
    assert answer.hold_id == OTHER  # no hold_id: the command's id
    _, answer = shop.read(pb.GetHoldRequest(hold_id=OTHER))
    assert answer.hold == pb.Hold(
        hold_id=OTHER, state=pb.HOLD_STATE_OPEN, location_id="store", owner="cart 7",
        deadline_ns=shop.now_ns + 10**9, lines=[line("tea", 2000)],
    )  # fmt: skip
    hold.lines[0].qty_milli = 5000  # the same open id again: replaced, its own units count as free
    hold.command_id, hold.hold_id = b"", OTHER
    assert shop.do(hold)[0] == "OK"
    assert shop.levels("tea") == (5000, 5000, 0)
    shop.now_ns += 10**9 - 1
    found, answer = shop.do(pb.ExtendHoldRequest(hold_id=OTHER, ttl_ms=2000))
    assert (found, answer.deadline_ns) == ("OK", shop.now_ns + 2 * 10**9)
    shop.now_ns += 2 * 10**9
    shop.batch()
    assert shop.levels("tea") == (5000, 0, 5000)
    for request in (
        pb.CommitHoldRequest(hold_id=OTHER),
        pb.ReleaseHoldRequest(hold_id=OTHER),
        pb.ExtendHoldRequest(hold_id=OTHER, ttl_ms=1),
    ):
        found, answer = shop.do(request)
        assert (found, answer.problem.subject) == ("HOLD_EXPIRED", OTHER.hex())
    assert shop.do(hold)[0] == "OK"  # an expired id may be used again
    assert shop.do(pb.ReleaseHoldRequest(hold_id=OTHER))[0] == "OK"
    assert shop.do(pb.ReleaseHoldRequest(hold_id=OTHER))[0] == "HOLD_RELEASED"
    assert shop.levels("tea") == (5000, 0, 5000)


def test_a_hold_has_the_owner_named_last(shop: Shop) -> None:
    shop.receive("tea", 9000)
    for owner in ("cart 7", "c" * 64, "", "cart 8"):  # the same open hold again; the row of an owner serves again
        for hold_id, name in ((ID, owner), (OTHER, owner[::-1])):
            hold = pb.HoldStockRequest(hold_id=hold_id, location_id="store", lines=[line("tea", 1000)], owner=name)
            assert shop.do(hold)[0] == "OK"
            assert shop.read(pb.GetHoldRequest(hold_id=hold_id))[1].hold.owner == name
    assert shop.core.row_counts()["hold_owners"] == 2


def test_thousands_of_holds_are_each_found_by_their_id(shop: Shop) -> None:
    """More than a segment of an index takes (4,096 slots): segments split, ids stay known, ended ones too."""
    shop.receive("tea", 10**9)
    ids = [(1 << 64 | number).to_bytes(16, "big") for number in range(9000)]
    first = [pb.HoldStockRequest(command_id=one, location_id="store", lines=[line("tea", 1000)]) for one in ids]
    for start in range(0, 9000, 3000):
        assert all(answer.code == 1 for answer in shop.batch(*first[start : start + 3000]))
    assert shop.levels("tea")[1] == 9000 * 1000
    assert all(shop.read(pb.GetHoldRequest(hold_id=one))[1].hold.hold_id == one for one in ids)
    assert shop.read(pb.GetHoldRequest(hold_id=(1 << 64 | 9000).to_bytes(16, "big")))[0] == "HOLD_UNKNOWN"
    releases = [pb.ReleaseHoldRequest(hold_id=one) for one in ids[::2]]
    for start in range(0, 4500, 1500):
        assert all(answer.code == 1 for answer in shop.batch(*releases[start : start + 1500]))
    assert shop.levels("tea")[1] == 4500 * 1000
    assert shop.read(pb.GetHoldRequest(hold_id=ids[1]))[1].hold.state == pb.HOLD_STATE_OPEN
    assert shop.read(pb.GetHoldRequest(hold_id=ids[2]))[1].hold.state == pb.HOLD_STATE_RELEASED


@pytest.mark.parametrize("name", ["ExtendHold", "PayHold", "ReleaseHold", "CommitHold", "GetHold"])
def test_a_hold_is_named_by_16_bytes(shop: Shop, name: str) -> None:
    request = getattr(pb, name + "Request")
    fields = {"ttl_ms": 1} if name in ("ExtendHold", "PayHold") else {}
    send = shop.read if name == "GetHold" else shop.do
    assert send(request(hold_id=ID[:-1], **fields))[0] == "FIELD_INVALID"
    assert send(request(hold_id=ID, **fields))[0] == "HOLD_UNKNOWN"


def test_extensions_end_31_days_after_the_hold_was_made(shop: Shop) -> None:
    shop.receive("tea", 5000)
    made = pb.HoldStockRequest(hold_id=ID, location_id="store", lines=[line("tea", 1000)], ttl_ms=31 * DAY_MS)
    assert shop.do(made)[0] == "OK"
    shop.now_ns += 30 * DAY_MS * 10**6
    assert shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=0))[0] == "TIME_INVALID"
    found, answer = shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=DAY_MS + 1))
    assert (found, answer.problem.limit) == ("TIME_INVALID", DAY_MS)
    assert shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=DAY_MS))[0] == "OK"
    shop.now_ns += 40 * DAY_MS * 10**6
    assert shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=DAY_MS))[0] == "HOLD_EXPIRED"


def test_a_hold_without_a_deadline_may_be_given_one_at_any_time(shop: Shop) -> None:
    """It was refused after 31 days, as if the hold were made longer by it: nobody could let it end by itself."""
    shop.receive("tea", 5000)
    assert shop.do(pb.HoldStockRequest(hold_id=ID, location_id="store", lines=[line("tea", 1000)]))[0] == "OK"
    shop.now_ns += 40 * DAY_MS * 10**6
    assert shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=DAY_MS))[0] == "OK"
    shop.now_ns += DAY_MS * 10**6
    assert shop.do(pb.ExtendHoldRequest(hold_id=ID, ttl_ms=DAY_MS))[0] == "HOLD_EXPIRED"


def test_availability_at_one_place_and_at_all(shop: Shop) -> None:
    shop.receive("tea", 5000)
    shop.receive("tea", 2000, "web")
    shop.receive("rice", 1234, "web")
    request = pb.GetAvailabilityRequest(item_ids=["tea", "mug", "rice"])
    _, answer = shop.read(request)
    found = [(p.item_id, p.location_id, p.on_hand_milli, p.free_milli, p.version) for p in answer.positions]
    assert found == [("tea", "store", 5000, 5000, 1), ("tea", "web", 2000, 2000, 1), ("rice", "web", 1234, 1234, 1)]
    request.location_id = "store"
    _, answer = shop.read(request)
    assert [p.on_hand_milli for p in answer.positions] == [5000, 0, 0]
    for fields, expected in (
        ({"item_ids": []}, "LINES_EMPTY"),
        ({"item_ids": ["tea"] * 1001}, "TOO_MANY"),
        ({"item_ids": ["tea", "none"]}, "ITEM_UNKNOWN"),
        ({"item_ids": ["tea"], "location_id": "nowhere"}, "LOCATION_UNKNOWN"),
    ):
        assert shop.read(pb.GetAvailabilityRequest(**fields))[0] == expected  # type: ignore[arg-type]  # a table of keyword arguments


def test_a_closed_place_is_named_as_closed_also_where_it_never_had_the_item(shop: Shop) -> None:
    found, _ = shop.do(pb.HoldStockRequest(location_id="shut", lines=[line("mug", 1000)]))
    assert found == "LOCATION_DISABLED"
    found, _ = shop.do(pb.HoldStockRequest(location_id="web", lines=[line("mug", 1000)]))
    assert found == "POSITION_UNKNOWN"


@pytest.mark.parametrize(
    ("fields", "expected", "field"),
    [
        ({"backorder_limit_milli": -1}, "QTY_INVALID", "backorder_limit_milli"),
        ({"safety_milli": -1, "step_milli": 2 * LIMIT}, "QTY_INVALID", "safety_milli"),
        ({"min_qty_milli": -1}, "QTY_INVALID", "min_qty_milli"),
        ({"min_qty_milli": 5000, "max_qty_milli": 4000}, "QTY_INVALID", "max_qty_milli"),
        ({"step_milli": LIMIT + 1}, "QTY_TOO_LARGE", "step_milli"),
        ({"low_milli": LIMIT + 1}, "QTY_TOO_LARGE", "low_milli"),
        ({"preorder_total_milli": -1000}, "QTY_INVALID", "preorder_total_milli"),
        (
            {"preorder_quotas": [pb.PreorderQuota(channel_id="a"), pb.PreorderQuota(channel_id="b", qty_milli=-1)]},
            "QTY_INVALID",
            "preorder_quotas.qty_milli",
        ),
        ({"preorder_total_milli": 0, "max_qty_milli": LIMIT}, "OK", ""),
    ],
)
def test_a_policy_that_is_refused_says_which_quantity_it_is(
    shop: Shop, fields: dict[str, Any], expected: str, field: str
) -> None:
    policies = [pb.StockPolicy(item_id="tea"), pb.StockPolicy(item_id="mug", **fields)]
    found, answer = shop.do(pb.PutStockPoliciesRequest(policies=policies))
    assert (found, answer.problem.field) == (expected, field and f"policies.{field}")
    assert answer.problem.index == (found != "OK")
