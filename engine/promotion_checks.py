"""`CheckPromotions`: the review of promotions on a core's own items and prices, or on those of a pricing case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from google.protobuf.message import DecodeError

from ringup.engine.promotion_review import Review, Shelf, targets_of
from ringup.engine.simulate_request import Case, Clock, line, promotion
from ringup.engine.simulate_request import rules as rules_of
from ringup.native.core import Core, MalformedRequest
from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2
from ringup.v1 import promotion_pb2 as pb

EXAMPLES = 3  # items of a target
PAGE = 1000
PAGES_MAX = 20  # of the catalogue, looked through for items of the categories
OK = result_pb2.RESULT_CODE_OK


def _takes(target: pb.Target, found: pb.SimulatedLine) -> bool:
    named = target.all or not (target.item_ids or target.categories)
    return (
        (named or found.item_id in target.item_ids or bool(set(found.categories) & set(target.categories)))
        and (not target.HasField("unit_price_min_minor") or found.price_minor >= target.unit_price_min_minor)
        and (not target.HasField("unit_price_max_minor") or found.price_minor <= target.unit_price_max_minor)
    )


class CoreShelf:
    """Items and prices of a core at one store; after `close` only those that were asked for before."""

    def __init__(self, core: Core, location_id: str, now_ns: int) -> None:
        self._core: Core | None = core
        self._location_id, self._now_ns = location_id, now_ns
        self._lines: dict[str, pb.SimulatedLine | None] = {}
        self._by_category: dict[str, list[str]] = {}
        self._any: list[str] = []

    def look_through(self, categories: set[str]) -> Iterator[None]:
        """Find some items of each category, page by page; yields after each page."""
        assert self._core is not None, "the shelf is not closed yet"
        request = catalog_pb2.SearchItemsRequest(page_size=PAGE)
        wanted = dict.fromkeys(categories, 0)
        for _ in range(PAGES_MAX):
            answer = catalog_pb2.SearchItemsResponse.FromString(
                self._core.query("SearchItems", request.SerializeToString(), self._now_ns)
            )
            for item in answer.items:
                if len(self._any) < EXAMPLES and self.line(item.item_id) is not None:
                    self._any.append(item.item_id)
                for category in item.categories:
                    if wanted.get(category, EXAMPLES) < EXAMPLES and self.line(item.item_id) is not None:
                        wanted[category] += 1
                        self._by_category.setdefault(category, []).append(item.item_id)
            yield
            request.page_token = answer.next_page_token
            if not request.page_token or (self._any and all(count == EXAMPLES for count in wanted.values())):
                return

    def line(self, item_id: str) -> pb.SimulatedLine | None:
        """One unit of an item at its price; None when there is no such item or price."""
        if item_id not in self._lines and self._core is not None:
            self._lines[item_id] = self._price(self._core, item_id)
        return self._lines.get(item_id)

    def close(self) -> None:
        """Let the core go: what is known can then be read on any thread."""
        self._core = None

    def _price(self, core: Core, item_id: str) -> pb.SimulatedLine | None:
        found = catalog_pb2.GetItemResponse.FromString(
            core.query("GetItem", catalog_pb2.GetItemRequest(item_code=item_id).SerializeToString(), self._now_ns)
        )
        quote = pricing_pb2.PriceBasketRequest(
            location_id=self._location_id, lines=[pricing_pb2.BasketLine(item_id=item_id, qty_milli=1000)]
        )
        answer = pricing_pb2.PriceBasketResponse.FromString(
            core.query("PriceBasket", quote.SerializeToString(), self._now_ns)
        )
        if found.code != OK or answer.code != OK:
            return None
        return pb.SimulatedLine(
            item_id=found.item.item_id,
            categories=found.item.categories,
            qty_milli=1000,
            price_minor=answer.basket.lines[0].gross_minor,
            floor_minor=found.item.min_price_minor,
            not_discountable=found.item.not_discountable,
            base_units_ppm=found.item.base_units_ppm,
        )

    def lines_of(self, target: pb.Target) -> list[pb.SimulatedLine]:
        """Some items of a target that it takes at their price."""
        names = [*target.item_ids[:50], *(n for c in target.categories for n in self._by_category.get(c, ()))]
        if target.all or not names:
            names += self._any if target.all or not (target.item_ids or target.categories) else []
        found = [line for name in names if (line := self.line(name)) is not None and _takes(target, line)]
        return found[:EXAMPLES]


def _published(core: Core) -> Iterator[list[pb.Promotion]]:
    """Every promotion that is not over, page by page: the definition in force, or the one that waits."""
    request = pb.ListPromotionsRequest(page_size=PAGE)
    while True:
        answer = pb.ListPromotionsResponse.FromString(core.query("ListPromotions", request.SerializeToString(), 0))
        yield [
            entry.next if entry.HasField("next") else entry.promotion
            for entry in answer.promotions
            if entry.state != pb.PROMOTION_STATE_ENDED or entry.HasField("next")
        ]
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


Work = Callable[[], pb.CheckPromotionsResponse]


def prepare(core: Core, request: bytes, now_ns: int) -> Iterator[Work | None]:
    """Read what CheckPromotions needs from a core; None where other work may go on in between.

    The last thing yielded is the search itself: it needs the core no more and may run on another thread.
    Raises MalformedRequest for bytes that are no CheckPromotionsRequest.
    """
    try:
        asked = pb.CheckPromotionsRequest.FromString(request)
    except DecodeError:
        raise MalformedRequest("CheckPromotionsRequest: the bytes are no such message") from None
    answer = pb.CheckPromotionsResponse.FromString(core.query("CheckPromotions", request, now_ns))
    if answer.code != OK:
        yield lambda: answer
        return
    location_id = asked.location_id
    if location_id:
        tried = pricing_pb2.PriceBasketRequest(
            location_id=location_id, lines=[pricing_pb2.BasketLine(item_id="-", qty_milli=1000)]
        )
        priced = pricing_pb2.PriceBasketResponse.FromString(
            core.query("PriceBasket", tried.SerializeToString(), now_ns)
        )
        if priced.code == result_pb2.RESULT_CODE_LOCATION_UNKNOWN:
            refused = pb.CheckPromotionsResponse(code=priced.code, problem=priced.problem)
            yield lambda: refused
            return
    else:
        places = catalog_pb2.ListLocationsResponse.FromString(
            core.query("ListLocations", catalog_pb2.ListLocationsRequest(page_size=1).SerializeToString(), now_ns)
        )
        location_id = places.locations[0].location_id if places.locations else ""
    shelf = CoreShelf(core, location_id, now_ns)
    wanted = [target for candidate in asked.promotions for target in targets_of(candidate)]
    yield from shelf.look_through({category for target in wanted for category in target.categories})
    for target in wanted:
        shelf.lines_of(target)
        yield None
    shelf.close()
    published: list[pb.Promotion] = []
    for page in _published(core):
        published += page
        yield None
    rules = pb.PricingRules.FromString(core.pricing_rules())

    def search() -> pb.CheckPromotionsResponse:
        review = Review(asked.promotions, Shelf(rules, published, shelf.lines_of, now_ns))
        answer.findings.extend(review.findings())
        answer.checked = review.checked
        return answer

    yield search


def check_now(core: Core, request: bytes, now_ns: int) -> pb.CheckPromotionsResponse:
    """Answer CheckPromotions in one go."""
    *_, work = prepare(core, request, now_ns)
    assert work is not None, "the search is yielded last"
    return work()


def check_case(case: Case, zone: str | None = None) -> pb.CheckPromotionsResponse:
    """The same on the items, rules and time of a pricing case, with nothing published beside its promotions.

    Raises Unfit for a value that the engine cannot hold.
    """
    clock = Clock(case.get("at"), zone)
    charges = [charge["id"] for charge in case.get("charges", ())]
    candidates = [promotion(entry, clock, charges) for entry in case["promotions"]]
    request = pb.CheckPromotionsRequest(promotions=candidates)
    answer = pb.CheckPromotionsResponse.FromString(
        Core().query("CheckPromotions", request.SerializeToString(), clock.at_ns())
    )
    if answer.code != OK:
        return answer
    shelf_lines = [
        line({**item, "qty": 1}, ())
        for item in case["items"]
        if item.get("unit_price_minor") is not None and item["unit_price_minor"] > 0
    ]

    def lines_of(target: pb.Target) -> Sequence[pb.SimulatedLine]:
        return [found for found in shelf_lines if _takes(target, found)][:EXAMPLES]

    review = Review(candidates, Shelf(rules_of(case), (), lines_of, clock.at_ns()))
    answer.findings.extend(review.findings())
    answer.checked = review.checked
    return answer


def finding_text(finding: pb.PromotionFinding) -> str:
    """A finding as people read it."""
    kind = pb.FindingKind.Name(finding.kind).removeprefix("FINDING_KIND_").lower()
    text = f"{kind}: {finding.promotion_id}: {finding.message}"
    if finding.found or finding.limit:
        text += f" ({finding.found:,} instead of {finding.limit:,})"
    if finding.basket:
        parts = (f"{_pieces(part.qty_milli)} x {part.item_id}" for part in finding.basket)
        text += f"; example: {' + '.join(parts)}"
    return text


def _pieces(qty_milli: int) -> str:
    return str(qty_milli // 1000) if qty_milli % 1000 == 0 else f"{qty_milli / 1000:.3f}"
