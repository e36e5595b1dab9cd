"""ListLocations and ListTaxClasses: pages in the order of creation, and what they refuse."""

from __future__ import annotations

import pytest

from ringup.v1 import catalog_pb2 as pb
from ringup.v1 import promotion_pb2
from ringup.v1.result_pb2 import ResultCode
from support.core import CoreHarness, small_shop

LISTS = {
    "ListLocations": (pb.ListLocationsRequest, pb.ListLocationsResponse, "locations"),
    "ListTaxClasses": (pb.ListTaxClassesRequest, pb.ListTaxClassesResponse, "tax_classes"),
}


def shop_of(count: int) -> tuple[CoreHarness, list[pb.Location], list[pb.TaxClass]]:
    shop = CoreHarness()
    locations = [
        pb.Location(location_id=f"L{n}", name=f"Place {n}", till_shortfall_allowed=n % 2 == 0, disabled=n % 3 == 0)
        for n in range(count)
    ]
    classes = [
        pb.TaxClass(
            tax_class_id=f"C{n}",
            taxes=[pb.Tax(name=f"tax {t}", rate_ppb=n * 1000 + t, inclusive=t % 2 == 0) for t in range(n % 4)],
        )
        for n in range(count)
    ]
    shop.send(pb.PutLocationsRequest(locations=locations))
    shop.send(pb.PutTaxClassesRequest(tax_classes=classes))
    return shop, locations, classes


@pytest.mark.parametrize("name", list(LISTS))
@pytest.mark.parametrize(("page_size", "pages"), [(0, 3), (7, 18), (120, 1), (119, 2)])
def test_pages_give_everything_once(name: str, page_size: int, pages: int) -> None:
    shop, locations, classes = shop_of(120)
    request_type, response_type, field = LISTS[name]
    request, found, asked = request_type(page_size=page_size), [], 0
    while True:
        answer = shop.ask(name, request, response_type)
        assert answer.code == ResultCode.RESULT_CODE_OK
        found += getattr(answer, field)
        asked += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert asked == pages
    assert found == (locations if field == "locations" else classes)


@pytest.mark.parametrize("name", list(LISTS))
def test_what_is_refused(name: str) -> None:
    shop = small_shop()
    request_type, response_type, _ = LISTS[name]
    for fields, code in (
        ({"page_size": 1001}, "TOO_MANY"),
        ({"page_size": -1}, "TOO_MANY"),
        ({"page_token": "next"}, "FIELD_INVALID"),
        ({"page_token": "1" * 13}, "FIELD_INVALID"),
    ):
        answer = shop.ask(name, request_type(**fields), response_type)
        assert ResultCode.Name(answer.code) == f"RESULT_CODE_{code}"
    beyond = shop.ask(name, request_type(page_token="999"), response_type)
    assert (beyond.code, beyond.next_page_token) == (ResultCode.RESULT_CODE_OK, "")


def test_pages_have_one_numbering() -> None:
    """The core reads and writes the fields of pages by one number for all lists."""
    lists = [pb.ListLocationsRequest, pb.ListTaxClassesRequest]
    for field in ("page_size", "page_token"):
        assert len({one.DESCRIPTOR.fields_by_name[field].number for one in lists}) == 1
    answers = [
        pb.SearchItemsResponse,
        pb.ListLocationsResponse,
        pb.ListTaxClassesResponse,
        promotion_pb2.ListPromotionsResponse,
    ]
    assert len({one.DESCRIPTOR.fields_by_name["next_page_token"].number for one in answers}) == 1
