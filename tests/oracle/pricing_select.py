"""Which promotions apply, and in which order: gates, coupons, stages, exclusives, groups, limits, best deal."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from pricing_basket import Basket
from pricing_benefits import Context, Effect, commit, conditions_hold, effect_of, limited
from pricing_best import best_mix, is_offer
from pricing_tax import Taxes, additive_factor, compute, tax_lines
from pricing_when import on_schedule, within

Promotion = dict[str, Any]

# What happened to a promotion: "applied", "conditions", "nothing" (it was tried and gave nothing), "beaten" (an
# exclusive or another of its group came first), or one of the reasons of the format.
REASONS = (
    "unknown",
    "expired",
    "not_started",
    "wrong_channel",
    "usage_limit",
    "customer_limit",
    "not_eligible",
    "budget",
    "schedule",
)


@dataclass
class Outcome:
    applied: list[str] = field(default_factory=list)
    worth: dict[str, int] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def not_applied(self, promotions: list[Promotion]) -> list[dict[str, str]]:
        pairs = [(p["id"], self.status.get(p["id"], "")) for p in promotions]
        pairs = [(name, "not_eligible" if status == "conditions" else status) for name, status in pairs]
        return [{"id": name, "reason": status} for name, status in pairs if status in REASONS]


def same_code(code: str) -> str:
    """Codes are compared as customers type them: case and spaces around do not matter."""
    return code.strip().casefold()


def budget_left(promotion: Promotion) -> int | None:
    limits = promotion.get("limits", {})
    return None if "budget_minor" not in limits else limits["budget_minor"] - limits.get("budget_spent_minor", 0)


def gate(promotion: Promotion, case: dict[str, Any], zone: str | None) -> str | None:
    """Why a promotion is closed to this sale whatever is in the basket; None when it is open."""
    at, context, limits = case.get("at"), case.get("context", {}), promotion.get("limits", {})
    window = promotion.get("window", {})
    dated = within(at, window.get("from"), window.get("to"), zone)
    if dated is not None:
        return dated
    if promotion.get("channels") and context.get("channel") not in promotion["channels"]:
        return "wrong_channel"
    if limits.get("max_uses") is not None:
        given_back = limits.get("cancelled_uses", 0) if limits.get("release_on_cancel") else 0
        if limits.get("used", 0) - given_back >= limits["max_uses"]:
            return "usage_limit"
    per_customer = limits.get("max_uses_per_customer")
    if per_customer is not None and limits.get("customer_used", 0) >= per_customer:
        return "customer_limit"
    left = budget_left(promotion)
    if left is not None and left <= 0:
        return "budget"
    if promotion.get("schedule") and not on_schedule(promotion["schedule"], at, zone):
        return "schedule"
    wanted = promotion.get("customer_groups")
    if wanted and not set(wanted) & set(context.get("customer", {}).get("groups", ())):
        return "not_eligible"
    return None


class Selection:
    """One run of all promotions of a case over its basket."""

    def __init__(self, case: dict[str, Any], basket: Basket, zone: str | None) -> None:
        self.case, self.basket, self.zone = case, basket, zone
        self.tax, self.at = case.get("tax"), case.get("at")
        self.outcome = Outcome()

    def run(self) -> Outcome:
        presented = {same_code(code) for code in self.case.get("coupons", ())}
        asked: list[Promotion] = []
        for promotion in self.case.get("promotions", ()):
            code = promotion.get("coupon")
            if code is not None and same_code(code) not in presented:
                continue
            reason = gate(promotion, self.case, self.zone)
            if reason is not None:
                self.outcome.status[promotion["id"]] = reason
            else:
                asked.append(promotion)
        asked.sort(key=lambda p: -p.get("priority", 0))
        self.stage([p for p in asked if p.get("stage") == "catalog"])
        for unit in self.basket.units:
            unit.original = unit.price
        cart = [p for p in asked if p.get("stage", "cart") == "cart"]
        if self.case.get("selection") in ("best_deal", "best_allocation"):
            self.best_stage(cart)
        else:
            self.stage(cart)
        self.judge_coupons()
        return self.outcome

    # ---- one promotion ----

    def factor(self, tax_class: str | None) -> Any:
        return additive_factor(self.tax, tax_class, self.at, self.zone)

    def item_taxes(self, original: bool) -> Taxes:
        """Taxes of the items alone, as the basket stands or on the prices after the catalog stage."""
        items = self.basket.copy()
        items.charges = []
        tax = {**self.tax, "base": "before_discount"} if self.tax and original else self.tax
        return compute(tax_lines(items, tax), tax, self.at, self.zone)

    def open(self, promotion: Promotion) -> bool:
        return conditions_hold(promotion, self.basket, self.case, self.item_taxes)

    def effect(self, promotion: Promotion) -> Effect | None:
        """What a promotion would give now, within its budget; None when the budget says skip."""
        return self.within_budget(promotion, effect_of(promotion, self.basket, self.factor))

    def within_budget(self, promotion: Promotion, effect: Effect, spent: int = 0) -> Effect | None:
        left = budget_left(promotion)
        if left is None or effect.worth <= left - spent:
            return effect
        if promotion["limits"].get("on_exceed") == "skip":
            return None
        return limited(self.basket, effect, max(0, left - spent))

    def book(self, promotion: Promotion, effect: Effect) -> bool:
        name = promotion["id"]
        if not effect.gave:
            self.outcome.status.setdefault(name, "nothing")
            return False
        commit(self.basket, effect, vendor=promotion.get("funded_by") == "vendor")
        if name not in self.outcome.applied:
            self.outcome.applied.append(name)
        self.outcome.worth[name] = self.outcome.worth.get(name, 0) + effect.worth
        self.outcome.status[name] = "applied"
        return True

    def try_one(self, promotion: Promotion) -> bool:
        """Apply a promotion if its conditions hold; whether it gave something."""
        if not self.open(promotion):
            self.outcome.status[promotion["id"]] = "conditions"
            return False
        effect = self.effect(promotion)
        if effect is None:
            self.outcome.status[promotion["id"]] = "budget"
            return False
        return self.book(promotion, effect)

    # ---- priority order ----

    def group_mode(self, promotion: Promotion) -> str | None:
        group = promotion.get("group")
        return None if group is None else self.basket.rules.get("group_modes", {}).get(group)

    def stage(self, promotions: list[Promotion]) -> None:
        """Exclusives first, by priority: the first that gives something ends the stage. Then all the others."""
        exclusives = [p for p in promotions if p.get("exclusive")]
        others = [p for p in promotions if not p.get("exclusive")]
        if self.in_order(exclusives, stop_after_one=True):
            self.mark_beaten(promotions)
        else:
            self.in_order(others, stop_after_one=False)

    def in_order(self, promotions: list[Promotion], *, stop_after_one: bool) -> bool:
        settled: set[str] = set()
        for promotion in promotions:
            mode, group = self.group_mode(promotion), promotion.get("group")
            if mode is None:
                gave = self.try_one(promotion)
            elif group in settled:
                self.outcome.status.setdefault(promotion["id"], "beaten")
                continue
            elif mode == "best":
                settled.add(str(group))
                gave = self.best_of_group([p for p in promotions if p.get("group") == group])
            elif mode == "first":
                gave = self.try_one(promotion)
                if gave:
                    settled.add(str(group))
            else:
                raise ValueError(f"group mode of {group!r}: expected best or first, found {mode!r}")
            if gave and stop_after_one:
                return True
        return False

    def best_of_group(self, group: list[Promotion]) -> bool:
        """The member worth most to the customer now; equal worth goes to the first by priority."""
        offers: list[tuple[Promotion, Effect]] = []
        for promotion in group:
            if not self.open(promotion):
                self.outcome.status[promotion["id"]] = "conditions"
                continue
            effect = self.effect(promotion)
            if effect is None:
                self.outcome.status[promotion["id"]] = "budget"
            else:
                offers.append((promotion, effect))
        winner = max((pair for pair in offers if pair[1].gave), key=lambda pair: pair[1].worth, default=None)
        for promotion, effect in offers:
            beaten = winner is not None and promotion is not winner[0] and effect.gave
            self.outcome.status[promotion["id"]] = "beaten" if beaten else "nothing"
        return winner is not None and self.book(*winner)

    def mark_beaten(self, promotions: list[Promotion]) -> None:
        for promotion in promotions:
            if promotion["id"] not in self.outcome.status:
                self.outcome.status[promotion["id"]] = "beaten" if self.open(promotion) else "conditions"

    # ---- best deal ----

    def best_stage(self, promotions: list[Promotion]) -> None:
        """Exclusives as ever; else the mix with the greatest discount, for every choice of one member a group."""
        if self.in_order([p for p in promotions if p.get("exclusive")], stop_after_one=True):
            self.mark_beaten(promotions)
            return
        candidates = []
        for promotion in promotions:
            if promotion.get("exclusive"):
                continue
            if any(is_offer(b) for b in promotion["benefits"]) and not self.open(promotion):
                self.outcome.status[promotion["id"]] = "conditions"
            else:
                candidates.append(promotion)
        start, start_outcome = self.basket, self.outcome
        best: tuple[int, Basket, Outcome] | None = None
        for choice in self.group_choices(candidates):
            self.basket, self.outcome = start.copy(), copy_outcome(start_outcome)
            self.play_mix(choice)
            total = sum(self.outcome.worth.values())
            if best is None or total > best[0]:
                for promotion in candidates:
                    if promotion not in choice:
                        self.outcome.status[promotion["id"]] = "beaten"
                best = total, self.basket, self.outcome
        assert best is not None
        # The caller's basket object stays the one that is priced.
        start.units, start.charges, start.free_items = best[1].units, best[1].charges, best[1].free_items
        self.basket, self.outcome = start, best[2]

    def group_choices(self, promotions: list[Promotion]) -> list[list[Promotion]]:
        free = [p for p in promotions if self.group_mode(p) is None]
        groups: dict[str, list[Promotion]] = {}
        for promotion in promotions:
            mode, group = self.group_mode(promotion), promotion.get("group")
            if mode == "best" or (mode == "first" and group not in groups):
                groups.setdefault(str(group), []).append(promotion)
        choices = []
        for members in product(*groups.values()):
            chosen = [*free, *members]
            choices.append([p for p in promotions if p in chosen])
        return choices

    def play_mix(self, promotions: list[Promotion]) -> None:
        context = Context(self.factor)
        free_pick = self.case.get("selection") == "best_allocation"
        before = self.basket.copy()
        for promotion, effect in zip(
            promotions, best_mix(promotions, self.basket, context, free_pick=free_pick), strict=True
        ):
            if not any(is_offer(b) for b in promotion["benefits"]):
                continue
            if not effect.gave and effect_of(promotion, before, self.factor).gave:
                self.outcome.status[promotion["id"]] = "beaten"
            self.book(promotion, effect)
        for promotion in promotions:
            rest = [b for b in promotion["benefits"] if not is_offer(b)]
            if not rest:
                continue
            if not self.open(promotion):
                self.outcome.status.setdefault(promotion["id"], "conditions")
                continue
            effect = effect_of({**promotion, "benefits": rest}, self.basket, self.factor)
            within = self.within_budget(promotion, effect, self.outcome.worth.get(promotion["id"], 0))
            if within is None:
                self.outcome.status.setdefault(promotion["id"], "budget")
            else:
                self.book(promotion, within)

    # ---- coupons ----

    def judge_coupons(self) -> None:
        """A code is accepted when a promotion of it applied, or would have but for a better one."""
        seen: set[str] = set()
        for code in self.case.get("coupons", ()):
            if same_code(code) in seen:
                continue
            seen.add(same_code(code))
            owners = [p for p in self.case["promotions"] if same_code(p.get("coupon") or "") == same_code(code)]
            owners.sort(key=lambda p: -p.get("priority", 0))
            states = [self.outcome.status.get(p["id"], "nothing") for p in owners]
            if not owners:
                self.outcome.rejected.append({"code": code, "reason": "unknown"})
            elif any(state in ("applied", "beaten") for state in states):
                self.outcome.accepted.append(code)
            else:
                # Of several promotions with the code, the one that says something definite.
                reason = next((s for s in states if s in REASONS and s != "not_eligible"), "not_eligible")
                self.outcome.rejected.append({"code": code, "reason": reason})


def copy_outcome(outcome: Outcome) -> Outcome:
    return Outcome(
        list(outcome.applied), dict(outcome.worth), dict(outcome.status), list(outcome.rejected), list(outcome.accepted)
    )
