"""What a price costs with 10 to 10,000 promotions active, and how long publishing them takes.

In the engine's own core, by processor time: ten promotions match the baskets, all others stand on items that
nobody buys.  The kernel alone, and its ratio `price_promotions_growth`, are in `price`.
"""

from __future__ import annotations

import random
import time

from bench.costs import assert_done, baskets, quote_us
from bench.in_process import BareCore
from bench.measure import Bench, Chart
from bench.shop import Ids, command, item_id, session_request
from ringup.v1 import promotion_pb2 as pb

TITLE = "Growth: price and publishing with 10 to 10,000 promotions"
MATCHING = 10
OTHERS_ITEMS = 5
PER_COMMAND = 1000
TENTH_PPB = 100_000_000
Points = list[tuple[float | str, float]]


def promotions(count: int, items: int) -> list[pb.Promotion]:
    """The first ten take 10 % off the order's items in turn; each other one stands on five of the last items."""
    choose = random.Random(3)
    made = []
    for number in range(count):
        if number < MATCHING:
            ids = [item_id(i) for i in range(number, items // 2, MATCHING)]
        else:
            ids = [item_id(items // 2 + choose.randrange(items - items // 2)) for _ in range(OTHERS_ITEMS)]
        benefit = pb.Benefit(
            type=pb.BENEFIT_TYPE_ITEM_PERCENT_OFF, target=pb.Target(item_ids=sorted(set(ids))), rate_ppb=TENTH_PPB
        )
        made.append(pb.Promotion(promotion_id=f"p{number}", benefits=[benefit]))
    return made


def run(bench: Bench) -> None:
    """One core; promotions are added."""
    ids, items, choose = Ids(125), bench.size(2000, 200), random.Random(5)
    core, known = BareCore(items, ids), 0
    curves: dict[str, Points] = {"price": [], "publish": []}
    sold = items // 2 // MATCHING  # items of each promotion that matches
    quotes = baskets(lambda: [n + MATCHING * choose.randrange(sold) for n in range(MATCHING)], bench.size(3000, 50))
    for count in (10, 100, 1000, 10_000) if not bench.quick else (10, 50):
        new = promotions(count, items)[known:]
        requests = [
            session_request([command(pb.PutPromotionsRequest(promotions=new[at : at + PER_COMMAND]), ids)])
            for at in range(0, len(new), PER_COMMAND)
        ]
        began_s = time.process_time()
        answers = [core.apply(request) for request in requests]
        quote_us(bench, core, quotes[:1])  # the first price after a change compiles what was published
        curves["publish"].append((count, (time.process_time() - began_s) * 1e6 / len(new)))
        for answer in answers:
            assert_done(answer, 1)
        known = count
        curves["price"].append((count, quote_us(bench, core, quotes)))
        for name, points in curves.items():
            bench.put(f"growth_promotions_{count}_{name}_cpu_us", points[-1][1])
    for name, points in curves.items():
        bench.growth(f"growth_promotions_{name}", points)
    shown = {"price of 10 lines": curves["price"], "publishing, each": curves["publish"]}
    bench.chart(
        Chart("growth_promotions", "Active promotions, ten of which match", "promotions", "us of processor", shown,
              log_x=True, log_y=True)
    )  # fmt: skip
