"""The demo's proof: the engine's book against what the callers were told and what the data say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field

from ringup.clients import AsyncClient, Refused
from ringup.engine.demo_shop import Ledger
from ringup.v1 import result_pb2

Stock = Counter[tuple[str, str]]  # (item_id, location_id) -> qty_milli


@dataclass(slots=True)
class Proof:
    """What was found; every number but the totals must be zero."""

    total_minor: int = 0
    expected_total_minor: int = 0
    baskets_differing: int = 0
    acknowledged_lost: int = 0
    booked_twice: int = 0
    resends_differing: int = 0
    stock_differing: int = 0
    oversold_positions: int = 0
    receipt_gaps: int = 0
    positions: int = 0
    findings: list[str] = field(default_factory=list)  # the first of each kind, in words

    @property
    def holds(self) -> bool:
        """Whether everything is as it must be."""
        return self.total_minor == self.expected_total_minor and not any(
            (
                self.baskets_differing,
                self.acknowledged_lost,
                self.booked_twice,
                self.resends_differing,
                self.stock_differing,
                self.oversold_positions,
                self.receipt_gaps,
            )
        )

    def found(self, kind: str, what: str) -> None:
        """Count one finding and keep a few in words."""
        setattr(self, kind, getattr(self, kind) + 1)
        if getattr(self, kind) <= 3:
            self.findings.append(f"{kind}: {what}")


async def prove(
    client: AsyncClient,
    ledger: Ledger,
    *,
    baskets_to_sell: int,
    expected_total_minor: int,
    stocked: set[str],
    opening: Stock,
    delivered: Stock,
    on_step: Callable[[], None],
) -> Proof:
    """Read the whole book back and compare; sends every sale once more to see that it books nothing."""
    proof = Proof(expected_total_minor=expected_total_minor)
    _prove_totals(proof, ledger, baskets_to_sell)
    await _prove_receipts(proof, client, ledger, on_step)
    await _prove_resends(proof, client, ledger, on_step)
    rows = (await client.get_stats()).rows
    surplus = rows["sales"] - len(ledger.sold) - len(ledger.returns)
    if surplus:
        proof.booked_twice += abs(surplus)
        proof.findings.append(
            f"booked_twice: the book has {rows['sales']} documents, {len(ledger.sold) + len(ledger.returns)} were told"
        )
    _prove_numbers(proof, ledger)
    await _prove_stock(proof, client, _expected_stock(ledger, stocked, opening, delivered), on_step)
    return proof


def _prove_totals(proof: Proof, ledger: Ledger, baskets_to_sell: int) -> None:
    for sold in ledger.sold.values():
        total, expected = sold.receipt.basket.total_minor, sold.basket.expected_total_minor
        lines = [line.total_minor for line in sold.receipt.basket.lines]
        proof.total_minor += total
        if total != expected or lines != [line.expected_minor for line in sold.basket.lines]:
            proof.found("baskets_differing", f"basket {sold.basket.basket_id}: {total} instead of {expected}")
    unsold = baskets_to_sell - len(ledger.sold)
    if unsold:
        proof.baskets_differing += unsold
        proof.findings.append(f"baskets_differing: {unsold} baskets were not sold: {dict(ledger.refused)}")


async def _prove_receipts(proof: Proof, client: AsyncClient, ledger: Ledger, on_step: Callable[[], None]) -> None:
    told = {sale_id: sold.receipt for sale_id, sold in ledger.sold.items()} | ledger.returns

    async def read(sale_id: bytes) -> None:
        try:
            receipt = await client.get_receipt(sale_id)
        except Refused as refusal:
            proof.found("acknowledged_lost", f"sale {sale_id.hex()}: {refusal}")
        else:
            if receipt != told[sale_id]:
                proof.found("acknowledged_lost", f"sale {sale_id.hex()}: its receipt is another one now")
        on_step()

    await _some_at_a_time([read(sale_id) for sale_id in told])


async def _prove_resends(proof: Proof, client: AsyncClient, ledger: Ledger, on_step: Callable[[], None]) -> None:
    async def resend(sale_id: bytes) -> None:
        answer = await client.submit(ledger.sold[sale_id].request)
        if answer.code != result_pb2.RESULT_CODE_OK or answer.receipt != ledger.sold[sale_id].receipt:
            proof.found("resends_differing", f"sale {sale_id.hex()}: sent again it was answered otherwise")
        on_step()

    await _some_at_a_time([resend(sale_id) for sale_id in ledger.sold])


async def _some_at_a_time(calls: Sequence[Coroutine[None, None, None]], width: int = 64) -> None:
    for start in range(0, len(calls), width):
        await asyncio.gather(*calls[start : start + width])


def _prove_numbers(proof: Proof, ledger: Ledger) -> None:
    numbers: dict[str, list[int]] = {}
    for receipt in [*(sold.receipt for sold in ledger.sold.values()), *ledger.returns.values()]:
        numbers.setdefault(receipt.till_id, []).append(receipt.number)
    for till, found in numbers.items():
        missing = set(range(1, max(found) + 1)) - set(found)
        for number in sorted(missing):
            proof.found("receipt_gaps", f"till {till} has no receipt {number}")
        for number, count in Counter(found).items():
            if count > 1:
                proof.found("booked_twice", f"till {till} gave receipt {number} to {count} sales")


def _expected_stock(ledger: Ledger, stocked: set[str], opening: Stock, delivered: Stock) -> Stock:
    """Opening + receipts - sales + returns, from what was asked and told, not from the engine's counters."""
    expected: Stock = Counter(opening)
    expected.update(delivered)
    for basket in [*(sold.basket for sold in ledger.sold.values()), *ledger.taken]:
        for line in basket.lines:
            if str(line.item_id) in stocked:
                expected[str(line.item_id), str(basket.location_id)] -= line.qty_milli
    for receipt in ledger.returns.values():
        for priced in receipt.basket.lines:
            if priced.item_id in stocked:
                expected[priced.item_id, receipt.location_id] += priced.qty_milli
    return expected


async def _prove_stock(proof: Proof, client: AsyncClient, expected: Stock, on_step: Callable[[], None]) -> None:
    by_location: dict[str, list[str]] = {}
    for item_id, location_id in expected:
        by_location.setdefault(location_id, []).append(item_id)
    for location_id, items in by_location.items():
        for chunk in _chunks(items, 1000):
            for position in await client.get_availability(chunk, location_id=location_id):
                key = (position.item_id, location_id)
                proof.positions += 1
                if position.on_hand_milli != expected[key]:
                    proof.found(
                        "stock_differing",
                        f"item {key[0]} at {location_id}: {position.on_hand_milli} on hand, expected {expected[key]}",
                    )
                if position.on_hand_milli < 0 or position.free_milli < 0:
                    proof.found("oversold_positions", f"item {key[0]} at {location_id}: {position.free_milli} free")
            on_step()


def _chunks(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
