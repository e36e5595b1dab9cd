"""How fast the pricing kernel is, and how its time grows: `python -m bench.kernels_pricing`.

Measures one basket of 10 lines (3 units each) from the request's bytes to the answer's bytes, with
explanation and one inclusive tax, in process: no wire, no journal.  Growth in promotions keeps the
number that match at 10; growth in items prices random baskets out of the engine's own catalogue.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from ringup.native.core import Core
from ringup.native.pricing_simulate import Pricer
from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2, session_pb2
from ringup.v1 import promotion_pb2 as pb

PERCENT = 10_000_000
LINES = 10
UNITS = 3
PUT_ROWS = 10_000


def price_minor(line: int) -> int:
    """Shelf prices that every discount of the comparison divides."""
    return 1000 + 100 * line


def offers(count: int, matching: int = LINES) -> list[pb.Promotion]:
    """`matching` promotions on the basket's items, the others on five items each that nobody buys.

    Even ones take 10 % off their item, odd ones give one of three.
    """
    found = []
    for number in range(count):
        items = [f"s{number}"] if number < matching else [f"x{number}-{i}" for i in range(5)]
        target = pb.Target(item_ids=items)
        if number % 2:
            benefit = pb.Benefit(type=pb.BENEFIT_TYPE_MULTIBUY_CHEAPEST_FREE, target=target, qty=UNITS)
        else:
            benefit = pb.Benefit(type=pb.BENEFIT_TYPE_ITEM_PERCENT_OFF, target=target, rate_ppb=10 * PERCENT)
        found.append(pb.Promotion(promotion_id=f"p{number}", benefits=[benefit]))
    return found


def lines(count: int = LINES) -> list[pb.SimulatedLine]:
    return [
        pb.SimulatedLine(
            item_id=f"s{line}",
            categories=["food", f"aisle {line}"],
            qty_milli=1000 * UNITS,
            price_minor=price_minor(line),
            tax_class_id="std",
        )
        for line in range(count)
    ]


def expected_total_minor() -> int:
    """What the basket costs with its ten offers."""
    return sum(price_minor(i) * (UNITS - 1) if i % 2 else price_minor(i) * UNITS * 9 // 10 for i in range(LINES))


def pricer_with(promotions: int) -> Pricer:
    tax = pb.TaxRates(tax_class_id="std", rates=[pb.TaxRate(name="VAT", rate_ppb=19 * PERCENT, inclusive=True)])
    pricer = Pricer()
    answer = pricer.publish(pb.SimulateRequest(promotions=offers(promotions), taxes=[tax]).SerializeToString())
    assert pb.SimulateResponse.FromString(answer).code == result_pb2.RESULT_CODE_OK
    return pricer


def seconds_per_price(pricers: list[Pricer], rounds: int, times: int) -> list[float]:
    """Median seconds of one price for each pricer, measured in turn."""
    request = pb.SimulateRequest(lines=lines()).SerializeToString()
    taken: list[list[float]] = [[] for _ in pricers]
    for _ in range(rounds):
        for index, pricer in enumerate(pricers):
            began = time.perf_counter()
            total = pricer.repeat(request, times)
            taken[index].append((time.perf_counter() - began) / times)
            assert total == expected_total_minor(), f"expected {expected_total_minor()}, found {total}"
    return [statistics.median(found) for found in taken]


def core_with(items: int) -> Core:
    """A core with a store, `items` items in categories, a price each and ten promotions."""
    core = Core()
    ids = iter(range(1, 10**9))

    def send(**command: object) -> None:
        body = session_pb2.Command(**command)  # type: ignore[arg-type]  # one field, by its name
        message = getattr(body, str(body.WhichOneof("body")))
        message.command_id = next(ids).to_bytes(16, "big")
        core.begin(core.sequence + 1, 1_700_000_000_000_000_000)
        reply, _, _ = core.apply(session_pb2.SessionRequest(commands=[body]).SerializeToString())
        answer = session_pb2.SessionResponse.FromString(reply).replies[0]
        code = getattr(answer, str(answer.WhichOneof("body"))).code
        assert code == result_pb2.RESULT_CODE_OK, answer

    send(put_locations=catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S", name="S")]))
    for start in range(0, items, PUT_ROWS):
        numbers = range(start, min(start + PUT_ROWS, items))
        send(
            put_items=catalog_pb2.PutItemsRequest(
                items=[catalog_pb2.Item(item_id=f"s{n}", name=f"Item {n}", categories=["food"]) for n in numbers]
            )
        )
        send(
            put_prices=catalog_pb2.PutPricesRequest(
                rows=[catalog_pb2.PriceRow(item_id=f"s{n}", price_minor=1000 + n % 997) for n in numbers]
            )
        )
    send(put_promotions=pb.PutPromotionsRequest(promotions=offers(LINES)))
    return core


def quotes(items: int, count: int) -> list[bytes]:
    """Baskets of ten random items of the catalogue."""
    rng = random.Random(11)
    return [
        pricing_pb2.PriceBasketRequest(
            location_id="S",
            lines=[
                pricing_pb2.BasketLine(item_id=f"s{rng.randrange(items)}", qty_milli=1000 * UNITS) for _ in range(LINES)
            ],
        ).SerializeToString()
        for _ in range(count)
    ]


def seconds_per_quote(cores: list[tuple[Core, list[bytes]]], rounds: int) -> list[float]:
    taken: list[list[float]] = [[] for _ in cores]
    for _ in range(rounds):
        for index, (core, requests) in enumerate(cores):
            began = time.perf_counter()
            for request in requests:
                core.query("PriceBasket", request, 1_700_000_000_000_000_000)
            taken[index].append((time.perf_counter() - began) / len(requests))
    return [statistics.median(found) for found in taken]


def promotion_growth(rounds: int, times: int, counts: tuple[int, ...] = (10, 100, 1_000, 10_000)) -> dict[int, float]:
    """Seconds of one price by number of active promotions."""
    found = seconds_per_price([pricer_with(count) for count in counts], rounds, times)
    return dict(zip(counts, found, strict=True))


def item_growth(rounds: int, sizes: tuple[int, ...] = (1_000, 1_000_000), baskets: int = 2_000) -> dict[int, float]:
    """Seconds of one quote by number of items."""
    cores = [(core_with(size), quotes(size, baskets)) for size in sizes]
    return dict(zip(sizes, seconds_per_quote(cores, rounds), strict=True))


def scan_by_scan(rounds: int, scans: int = LINES, promotions: int = LINES) -> list[float]:
    """Median seconds to price a growing basket again after each scan, in the order of the scans.

    Ten of the items are in promotions, as many as match; the others are sold at the shelf price.
    """
    pricer = pricer_with(promotions)
    scanned = lines(scans)
    requests = [pb.SimulateRequest(lines=scanned[: n + 1]).SerializeToString() for n in range(scans)]
    taken: list[list[float]] = [[] for _ in requests]
    for _ in range(rounds):
        for index, request in enumerate(requests):
            began = time.perf_counter()
            answer = pricer.price(request)
            taken[index].append(time.perf_counter() - began)
    found = pb.SimulateResponse.FromString(answer).total_minor
    expected = expected_total_minor() + sum(price_minor(i) * UNITS for i in range(LINES, scans))
    assert found == expected, f"expected {expected}, found {found}"
    return [statistics.median(times) for times in taken]


def main(say: Callable[[str], None] = print) -> None:
    growth = promotion_growth(9, 3_000)
    for count, seconds in growth.items():
        say(f"{count:>9,} promotions: {seconds * 1e6:6.2f} us a price, {seconds / growth[10]:.2f} of 10")
    items = item_growth(9, (1_000, 100_000, 1_000_000))
    for count, seconds in items.items():
        say(f"{count:>9,} items: {seconds * 1e6:6.2f} us a quote, {seconds / items[1_000]:.2f} of 1,000")
    say(f"a basket priced again at each of 10 scans: {sum(scan_by_scan(99)) * 1e6:.1f} us in all")


if __name__ == "__main__":
    main()
