"""Why a promotion gave nothing, as a person reads it: the outcome's numbers, and what its definition asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringup.engine.explain_text import instant, money, quantity
from ringup.v1 import promotion_pb2 as pb

NAMES_SHOWN_MAX = 3


def either_of(names: list[str]) -> str:
    """Up to three names: A, B or C ..."""
    shown = names[:NAMES_SHOWN_MAX]
    text = " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
    return text + (" ..." if len(names) > NAMES_SHOWN_MAX else "")


def of_target(target: dict[str, Any] | None) -> str:
    """What a target is about: " of fruit", " of A or B"; nothing for everything."""
    names = [*(target or {}).get("skus", ()), *(target or {}).get("categories", ())]
    return f" of {either_of(names)}" if names else ""


def when(schedule: Mapping[str, Any] | None) -> str:
    """The days and hours of a schedule: mon, tue 09:00-12:00."""
    days = ", ".join((schedule or {}).get("days", ()))
    hours = ", ".join("-".join(period) for period in (schedule or {}).get("times", ()))
    return " ".join(part for part in (days, hours) if part)


def reason(
    promotion: pb.ExplainedPromotion,
    currency: str,
    defined: dict[str, Any] | None = None,
    zone: str | None = None,
    group_modes: Mapping[str, str] | None = None,
) -> str:
    """Why a promotion gave nothing, with its numbers; what it asks for comes from its definition, where it is known."""
    found, needed, other = promotion.found, promotion.needed, promotion.other_promotion_id
    known = defined or {}
    conditions = known.get("conditions", ())
    failed = conditions[promotion.condition - 1] if 0 < promotion.condition <= len(conditions) else {}
    of, view = of_target(failed.get("target")), "" if failed.get("tax") not in ("excl", "net") else " before tax"
    kind = failed.get("type")
    on_one_line = " on one line" if kind == "min_line_qty" else ""
    name = pb.PromotionOutcome.Name(promotion.outcome).removeprefix("PROMOTION_OUTCOME_")
    bound = instant(needed, zone) if needed and name in ("EXPIRED", "NOT_STARTED") else ""
    texts = {
        "EXPIRED": f"it is over since {bound}" if bound else "it is over",
        "NOT_STARTED": f"it begins on {bound}" if bound else "it has not begun",
        "SCHEDULE": f"not on this day or at this hour{_only(when(known.get('schedule')))}",
        "WRONG_CHANNEL": f"not in this channel{_only(either_of(known.get('channels', [])))}",
        "WRONG_CUSTOMER": f"not for this customer's groups{_only(either_of(known.get('customer_groups', [])))}",
        "WRONG_CURRENCY": "its amounts are in another currency",
        "COUPON_MISSING": "its coupon was not presented",
        "USAGE_LIMIT": f"used {found:,} of {needed:,} times",
        "CUSTOMER_LIMIT": f"this customer has used it {found:,} of {needed:,} times",
        "BUDGET": f"only {money(found, currency)} of its budget is left",
        "NEEDS_VALUE": f"{money(needed - found, currency)} more{of} needed to reach {money(needed, currency)}{view}",
        "ABOVE_VALUE": f"{money(found, currency)}{of}{view} is more than {money(needed, currency)}",
        "NEEDS_QTY": f"needs {quantity(needed - found)} more{of}{on_one_line}",
        "ABOVE_QTY": f"{quantity(found)} units{of} are more than {quantity(needed)}",
        "NEEDS_DISTINCT": f"needs {_items(needed - found)}{of}",
        "WRONG_ORDER": f"this is order number {found:,}, it is for number {needed:,}"
        if found != needed
        else f"it is for order number {needed:,} of a customer, and nobody says whose this is",
        "NOTHING_TO_GIVE": "nothing here can be made cheaper by it",
        "EXCLUDED": f"{other} is exclusive and came first",
        "BEATEN": _beaten(promotion, currency, (group_modes or {}).get(known.get("group", ""), "")),
        "SET_INCOMPLETE": f"a set has {found:,} of its {needed:,} units",
    }
    return texts.get(name, name.lower().replace("_", " "))


def _only(what: str) -> str:
    return f", only {what}" if what else ""


def _items(number: int) -> str:
    return "1 more different item" if number == 1 else f"{number:,} more different items"


def _beaten(promotion: pb.ExplainedPromotion, currency: str, mode: str) -> str:
    by, lead = promotion.other_promotion_id, promotion.found - promotion.needed
    if mode == "first" and by:
        return f"{by} comes first in their group"
    if lead <= 0:
        return f"worth no more than {by or 'the mix chosen'}"
    return f"beaten by {by or 'a better mix'} by {money(lead, currency)}"
