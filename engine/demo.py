"""`ringup demo`: real weeks of groceries through a real engine, killed in mid-run, with the books proved."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ringup.clients import AsyncClient
from ringup.engine import journey
from ringup.engine.demo_engine import EngineProcess
from ringup.engine.demo_promotions import PromotionPlan, plan_promotions
from ringup.engine.demo_proof import Proof, Stock, prove
from ringup.engine.demo_shop import Callers, Ledger, is_online, till_id
from ringup.v1 import catalog_pb2, promotion_pb2, result_pb2, stock_pb2

ROWS_PER_COMMAND = 5000
STOCK_LINES_PER_COMMAND = 1000
STOCK_COVER_PERCENT = 150  # carts that are given up keep units for a moment
DELIVERY_MILLI = 12_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    first_week: int
    last_week: int
    tills: int
    kills: int
    data_dir: Path | None
    console: Console


@dataclass(slots=True)
class Shop:
    """The shop's own data, ready to send."""

    items: list[journey.Item]
    stocked: set[str]  # codes of the items that stock is kept of
    rows: list[journey.PriceRow]
    baskets: list[journey.Basket]
    empty_baskets: int
    plan: PromotionPlan
    opening: Stock
    summary: journey.Summary


def prepare(first_week: int, last_week: int) -> Shop:
    """Read the real weeks and make items, price book, stock and baskets of them."""
    items = journey.load_items()
    baskets = journey.load_baskets(first_week, last_week)
    to_sell = [basket for basket in baskets if basket.lines]
    opening = journey.opening_stock(baskets, items, cover_percent=STOCK_COVER_PERCENT)
    return Shop(
        items=items,
        stocked={str(item.item_id) for item in items if item.stocked},
        rows=list(journey.build_price_rows(first_week, last_week)),
        baskets=to_sell,
        plan=plan_promotions(to_sell, first_week, last_week),
        empty_baskets=len(baskets) - len(to_sell),
        opening=Counter({(str(item), str(location)): qty for (item, location), qty in opening.items()}),
        summary=journey.summary(baskets),
    )


async def _load(client: AsyncClient, shop: Shop, tills: int, progress: Progress) -> None:
    """Send everything that is there before the doors open."""
    locations = sorted({basket.location_id for basket in shop.baskets})
    lanes = [*map(str, range(1, tills + 1)), "web", "desk"]
    await client.put_settings(currency="USD", cash_increment_minor=1)
    await client.put_locations(
        [catalog_pb2.Location(location_id=str(number), name=f"Store {number}") for number in locations]
    )
    till_rows = [
        catalog_pb2.Till(till_id=till_id(location, lane), location_id=str(location))
        for location in locations
        for lane in lanes
    ]
    items = [
        catalog_pb2.Item(
            item_id=str(item.item_id),
            name=item.name,
            barcodes=[item.barcode] if item.barcode else [],
            categories=item.categories,
            measured=item.measured,
            untracked=not item.stocked,
        )
        for item in shop.items
    ]
    prices = [
        catalog_pb2.PriceRow(
            item_id=str(row.item_id),
            location_id=str(row.location_id) if row.location_id else "",
            min_qty_milli=row.min_qty_milli,
            price_minor=row.price_minor,
            base_qty_milli=row.base_qty_milli,
            from_ns=row.from_ns,
            to_ns=row.to_ns,
        )
        for row in shop.rows
    ]
    by_location: dict[str, list[stock_pb2.StockLine]] = {}
    for (item_id, location_id), qty_milli in shop.opening.items():
        by_location.setdefault(location_id, []).append(stock_pb2.StockLine(item_id=item_id, qty_milli=qty_milli))
    for rows, put, what in ((till_rows, client.put_tills, "tills"), (items, client.put_items, "items")):
        task = progress.add_task(f"load {what}", total=len(rows))
        for chunk in _chunks(rows, ROWS_PER_COMMAND):
            await put(chunk)
            progress.advance(task, len(chunk))
    task = progress.add_task("load price book", total=len(prices))
    for chunk in _chunks(prices, ROWS_PER_COMMAND):
        await client.put_prices(chunk)
        progress.advance(task, len(chunk))
    task = progress.add_task("publish promotions", total=len(shop.plan.promotions))
    for chunk in _chunks(shop.plan.promotions, ROWS_PER_COMMAND):
        answer = await client.submit(promotion_pb2.PutPromotionsRequest(promotions=chunk))
        if answer.code != result_pb2.RESULT_CODE_OK:
            raise RuntimeError(f"the promotions were refused: {answer}")
        progress.advance(task, len(chunk))
    task = progress.add_task("receive opening stock", total=len(shop.opening))
    for location_id, lines in by_location.items():
        for chunk in _chunks(lines, STOCK_LINES_PER_COMMAND):
            await client.receive_stock(location_id=location_id, lines=chunk, reference="opening stock")
            progress.advance(task, len(chunk))


def _chunks(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


async def _deliver(client: AsyncClient, shop: Shop) -> Stock:
    """A delivery in the middle of the day: some goods for every store."""
    delivered: Stock = Counter()
    by_location: dict[str, list[str]] = {}
    for item_id, location_id in shop.opening:
        by_location.setdefault(location_id, []).append(item_id)
    for location_id, items in by_location.items():
        lines = [stock_pb2.StockLine(item_id=item, qty_milli=DELIVERY_MILLI) for item in items[:20]]
        await client.receive_stock(location_id=location_id, lines=lines, reference="delivery")
        delivered.update({(line.item_id, location_id): line.qty_milli for line in lines})
    return delivered


@dataclass(slots=True)
class Sale:
    """What the selling itself took."""

    seconds: float
    restart_seconds: list[float]
    delivered: Stock


async def _sell(engine: EngineProcess, shop: Shop, ledger: Ledger, options: Options, progress: Progress) -> Sale:
    """Sell everything, with a delivery and the kills on the way."""
    task = progress.add_task("sell baskets", total=len(shop.baskets))
    # The n-th of k kills comes when n/(k+1) of the baskets are sold: always in mid-run.
    marks = [len(shop.baskets) * number // (options.kills + 1) for number in range(1, options.kills + 1)]
    reached = [asyncio.Event() for _ in marks]

    def on_sale() -> None:
        progress.advance(task)
        for mark, event in zip(marks, reached, strict=True):
            if len(ledger.sold) >= mark:
                event.set()

    restart_seconds: list[float] = []
    delivered: Stock = Counter()

    async def trouble() -> None:
        for number, event in enumerate(reached, 1):
            await event.wait()
            began = time.perf_counter()
            progress.update(task, description=f"sell baskets [red](engine killed {number}x)")
            await engine.kill()
            await engine.start()
            restart_seconds.append(time.perf_counter() - began)
            progress.update(task, description="sell baskets")

    async def delivery() -> None:
        async with AsyncClient(engine.target, timeout_s=60) as client:
            delivered.update(await _deliver(client, shop))

    callers = Callers(engine.target, ledger, stocked=shop.stocked, plan=shop.plan, on_sale=on_sale)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(trouble())
        group.create_task(delivery())
        group.create_task(callers.run(shop.baskets, options.tills))
    return Sale(time.perf_counter() - began, restart_seconds, delivered)


async def _run(options: Options, directory: Path, progress: Progress) -> tuple[dict[str, Any], Proof]:
    task = progress.add_task(f"read weeks {options.first_week} to {options.last_week}", total=None)
    shop = await asyncio.to_thread(prepare, options.first_week, options.last_week)
    progress.update(task, total=1, completed=1)
    engine = EngineProcess(directory / "engine", directory / "engine.log")
    ledger = Ledger()
    await engine.start()
    try:
        async with AsyncClient(engine.target, timeout_s=60) as client:
            await _load(client, shop, options.tills, progress)
            before = (await client.get_stats()).counters["sequence"]
        sale = await _sell(engine, shop, ledger, options, progress)
        async with AsyncClient(engine.target, timeout_s=60) as client:
            commits = (await client.get_stats()).counters["sequence"] - before
            steps = 2 * len(ledger.sold) + len(ledger.returns) + len({place for _, place in shop.opening})
            task = progress.add_task("prove the books", total=steps)
            proof = await prove(
                client,
                ledger,
                baskets_to_sell=len(shop.baskets),
                expected_total_minor=sum(basket.expected_total_minor for basket in shop.baskets),
                stocked=shop.stocked,
                opening=shop.opening,
                delivered=sale.delivered,
                on_step=lambda: progress.advance(task),
            )
    finally:
        await engine.stop()
    return _result(options, shop, ledger, sale, proof, commits), proof


def _result(options: Options, shop: Shop, ledger: Ledger, sale: Sale, proof: Proof, commits: int) -> dict[str, Any]:
    latencies = sorted(ledger.latencies_ms)
    centiles = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    summary = asdict(shop.summary)
    not_sold = {reason: count for reason, count in summary["not_sold"].items() if count}
    # A line that is nothing but a coupon is represented: as the coupon among the basket's tenders.
    not_represented = {reason: count for reason, count in not_sold.items() if reason != "coupon_only"}
    return {
        "weeks": [options.first_week, options.last_week],
        "items": len(shop.items),
        "price_rows": len(shop.rows),
        "baskets": len(ledger.sold),
        "baskets_online": sum(is_online(basket) for basket in shop.baskets),
        "baskets_without_lines": shop.empty_baskets,
        "lines": sum(len(sold.basket.lines) for sold in ledger.sold.values()),
        "lines_not_represented": sum(not_represented.values()),
        "lines_not_represented_by_reason": not_represented,
        "lines_by_representation": {kind: count for kind, count in summary["representation"].items() if count},
        "coupon_lines_as_tender": not_sold.get("coupon_only", 0),
        "promotions": len(shop.plan.promotions),
        "loyalty_lines_by_promotion": shop.plan.cuts.total() - shop.plan.cuts_by_hand,
        "loyalty_lines_by_kind": dict(shop.plan.cuts),
        "loyalty_lines_by_hand": shop.plan.cuts_by_hand,
        "coupon_matches_by_promotion": len(shop.plan.matches.lines),
        "coupon_matches_by_hand": shop.plan.matches.counts["matches_by_hand"],
        "campaigns": dict(shop.plan.matches.counts),
        "loyalty_minor": summary["loyalty_minor"],
        "coupon_match_minor": summary["coupon_match_minor"],
        "coupon_tender_minor": summary["coupon_tender_minor"],
        "total_minor": proof.total_minor,
        "expected_total_minor": proof.expected_total_minor,
        "baskets_differing": proof.baskets_differing,
        "acknowledged_lost": proof.acknowledged_lost,
        "booked_twice": proof.booked_twice,
        "resends_differing": proof.resends_differing,
        "positions": proof.positions,
        "stock_differing": proof.stock_differing,
        "oversold_positions": proof.oversold_positions,
        "receipt_gaps": proof.receipt_gaps,
        "restarts": len(sale.restart_seconds),
        "restart_seconds": [round(seconds, 3) for seconds in sale.restart_seconds],
        "returns": len(ledger.returns),
        "holds": dict(ledger.online),
        "waited_for_stock": ledger.waited_for_stock,
        "refused": dict(ledger.refused),
        "sales_per_s": round(len(ledger.sold) / sale.seconds, 1),
        "p50_ms": round(centiles[49], 3),
        "p99_ms": round(centiles[98], 3),
        "commits": commits,
        "mean_batch": round(ledger.commands / commits, 2) if commits else 0.0,
        "findings": proof.findings,
    }


def _money(amount_minor: int) -> str:
    return f"{amount_minor // 100:,}.{amount_minor % 100:02}"


def table(result: dict[str, Any], holds: bool) -> Table:
    """The result for people."""
    view = Table(title="A real week of groceries through one engine", title_justify="left", show_header=False)
    view.add_column(style="bold")
    view.add_column(justify="right")
    view.add_column(style="dim")
    first, last = result["weeks"]
    view.add_row("weeks", f"{first} to {last}" if first != last else str(first), "The Complete Journey, 2017")
    view.add_row("items, price rows", f"{result['items']:,}, {result['price_rows']:,}", "what the shelves charged")
    online = result["baskets_online"]
    view.add_row("baskets sold", f"{result['baskets']:,}", f"{online:,} of them online: hold, pay, commit")
    view.add_row("lines sold", f"{result['lines']:,}", _words(result["lines_by_representation"]))
    view.add_row(
        "lines not represented",
        f"{result['lines_not_represented']:,}",
        _words(result["lines_not_represented_by_reason"]),
    )
    by_promotion, by_hand = result["loyalty_lines_by_promotion"], result["loyalty_lines_by_hand"]
    view.add_row("promotions", f"{result['promotions']:,}", f"{by_promotion:,} card cuts by them, {by_hand:,} by hand")
    matched, kept = result["coupon_matches_by_promotion"], result["coupon_matches_by_hand"]
    campaigns = result["campaigns"]
    view.add_row(
        "campaigns, coupons",
        f"{campaigns.get('campaigns', 0):,}, {campaigns.get('coupons', 0):,}",
        f"{matched:,} doubled coupons by promotions, {kept:,} by hand",
    )
    view.add_row("online holds", f"{sum(result['holds'].values()):,}", _words(result["holds"]))
    view.add_row("returns", f"{result['returns']:,}", "one line each, refunded as paid")
    view.add_section()
    speed = f"p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, with the restart in it"
    view.add_row("sales a second", f"{result['sales_per_s']:,}", speed)
    view.add_row("commits", f"{result['commits']:,}", f"{result['mean_batch']} commands each")
    seconds = ", ".join(f"{value} s" for value in result["restart_seconds"])
    view.add_row("kills (SIGKILL)", str(result["restarts"]), f"serving again after {seconds}" if seconds else "")
    view.add_section()
    view.add_row("total", _money(result["total_minor"]), f"the data say {_money(result['expected_total_minor'])}")
    for key, words in (
        ("baskets_differing", "baskets whose total or a line differs from the data"),
        ("acknowledged_lost", "acknowledged sales that are not in the book"),
        ("booked_twice", "sales booked more than once"),
        ("resends_differing", "sales that were answered otherwise when sent again"),
        ("stock_differing", f"of {result['positions']:,} positions: opening + receipts - sales + returns = closing"),
        ("oversold_positions", "positions below their limit"),
        ("receipt_gaps", "receipt numbers missing"),
    ):
        good = not result[key]
        view.add_row(key.replace("_", " "), f"[{'green' if good else 'red'}]{result[key]}", words)
    view.add_section()
    view.add_row("proof", "[green]holds" if holds else "[bold red]FAILS", "; ".join(result["findings"]))
    return view


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())


def run(options: Options) -> tuple[dict[str, Any], bool]:
    """Run the demo; returns the result and whether the proof holds."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with tempfile.TemporaryDirectory(prefix="ringup-demo-") as temporary:
        directory = options.data_dir or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / "engine").exists():
            raise FileExistsError(
                f"{directory / 'engine'}: expected no engine there yet, found one; "
                "choose an empty folder with --data-dir, or leave it out"
            )
        with Progress(*columns, console=options.console) as progress:
            result, proof = asyncio.run(_run(options, directory, progress))
    return result, proof.holds
