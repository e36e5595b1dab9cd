"""The hash of a command's body is kept in rows: this version must make the one that older versions wrote."""

from __future__ import annotations

import pytest

from ringup.v1 import catalog_pb2
from support.body_hash import body_hash
from support.core import command_of, small_shop

KIND = command_of(catalog_pb2.PutLocationsRequest()).DESCRIPTOR.fields_by_name["put_locations"].number


@pytest.mark.parametrize("name_bytes", range(1, 34))
def test_rows_keep_the_hash_that_they_always_kept(name_bytes: int) -> None:
    shop = small_shop()
    place = catalog_pb2.Location(location_id="X", name="n" * name_bytes)
    request = catalog_pb2.PutLocationsRequest(command_id=b"i" * 16, locations=[place])
    assert shop.send(request).code == 1
    replies = next(table for table in shop.core.tables if table.name == "replies")
    row = next(row for row in map(replies.get_row, range(replies.count)) if b"i" * 16 in row)
    assert body_hash(KIND, request.SerializeToString()).to_bytes(8, "little") in row
