"""Promotions from a file, as the commands of `ringup promo` read them.

A file holds pricing cases (`{"cases": [...]}`), or promotions alone: `{"promotions": [...]}`, a list of
promotions, or one promotion.  The form of a promotion is that of the pricing cases.
"""

from __future__ import annotations

import json
from pathlib import Path

from ringup.engine.simulate import load_cases, read_file
from ringup.engine.simulate_case import CaseError
from ringup.engine.simulate_request import Case, Clock, Unfit, promotion
from ringup.v1 import promotion_pb2

FILE_ID = "promotions of the file"


def promotion_cases(text: str) -> list[Case]:
    """The cases of a file that have promotions; promotions alone are one case without items.

    Raises CaseError, which names the case and the key.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"not a JSON document: {error}") from None
    if isinstance(document, dict) and "id" in document and "benefits" in document:
        document = [document]
    if isinstance(document, dict) and set(document) == {"promotions"}:
        document = document["promotions"]
    if isinstance(document, list):
        # A case needs a currency; amounts alone are in minor units of whatever the engine sells in.
        alone = {"id": FILE_ID, "currency": "EUR", "items": [], "promotions": document, "expect": {}}
        text = json.dumps({"cases": [alone]})
    elif not isinstance(document, dict) or "cases" not in document:
        raise CaseError('expected {"cases": [...]}, {"promotions": [...]}, a list of promotions or one promotion')
    found = [case for case in load_cases(text) if case.get("promotions")]
    if not found:
        raise CaseError("expected at least one promotion, found none")
    return found


def read_promotions(file: Path, zone: str | None) -> list[promotion_pb2.Promotion]:
    """The promotions of a file as messages, times without a zone on the clock of `zone`.

    Raises CaseError for a file that is not valid, and for two promotions with one id.
    """
    clock = Clock(None, zone)
    found: dict[str, promotion_pb2.Promotion] = {}
    for case in promotion_cases(read_file(file)):
        charges = [charge["id"] for charge in case.get("charges", ())]
        for entry in case["promotions"]:
            if entry["id"] in found:
                raise CaseError(
                    f"case {case['id']!r}: the promotion {entry['id']!r} stands in the file twice; one would replace "
                    "the other: give each an id of its own"
                )
            try:
                found[entry["id"]] = promotion(entry, clock, charges)
            except Unfit as error:
                raise CaseError(f"case {case['id']!r}: promotion {entry['id']!r}: {error}") from None
    return list(found.values())
