"""The contract as bytes: nothing in the clients may differ from what protobuf itself makes of it."""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringup.v1
from ringup.clients import NoAnswer, Refused, RejectedCommand, _retry, _wire, errors
from ringup.native import session_batch
from ringup.v1 import catalog_pb2, result_pb2, sale_pb2, session_pb2, stock_pb2

LOOP = asyncio.new_event_loop()  # futures want one; it never runs
PUT_ITEMS = _wire.KIND_OF[catalog_pb2.PutItemsRequest]
COMMANDS = [kind for kind in _wire.KIND_OF.values() if kind.is_command]
REPLIES = st.lists(
    st.builds(
        lambda number, name: session_pb2.CommandReply(
            sell=sale_pb2.SellResponse(code=1, receipt=sale_pb2.Receipt(number=number, customer_id=name))
        ),
        st.integers(0, 2**64 - 1),
        st.text(max_size=300),
    ),
    max_size=20,
)


def pending(command: bytes, deadline_s: float = 1.0) -> session_batch.Pending:
    return session_batch.Pending(asyncio.Future(loop=LOOP), command, deadline_s)


def test_every_call_of_the_contract_is_known() -> None:
    paths = set()
    for file in Path(next(iter(ringup.v1.__path__))).glob("*.proto"):
        module = importlib.import_module(f"ringup.v1.{file.stem}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            paths |= {f"/{service.full_name}/{m.name}" for m in service.methods if not m.server_streaming}
    assert {kind.path for kind in _wire.KIND_OF.values()} == paths
    assert len(COMMANDS) == len(session_pb2.Command.DESCRIPTOR.fields)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.name)
def test_a_command_is_framed_as_protobuf_does(kind: _wire.Kind) -> None:
    field = session_pb2.Command.DESCRIPTOR.fields_by_number[kind.field].name
    request = kind.request_class(command_id=b"\x07" * 16)
    command = _wire.as_command(kind, _wire.request_bytes(kind, request))
    expected = session_pb2.SessionRequest(commands=[session_pb2.Command(**{field: request})])
    assert session_batch.session_request([pending(command)]) == expected.SerializeToString(deterministic=True)
    assert _wire.opened(command) == (kind, request.SerializeToString())


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.name)
def test_a_new_id_gives_the_bytes_that_the_message_would_have(kind: _wire.Kind) -> None:
    """So that a resend from a kept message and one from kept bytes are the same command."""
    request = kind.request_class()
    body = _wire.request_bytes(kind, request)
    command_id = _wire.command_id_in(body)
    assert len(command_id) == _wire.COMMAND_ID_BYTES
    assert not request.command_id, "the caller's message was changed"
    request.command_id = command_id
    assert request.SerializeToString() == body
    assert _wire.command_id_in(_wire.request_bytes(kind, kind.request_class())) != command_id


def test_a_long_command_with_a_new_id_has_the_message_s_bytes() -> None:
    request = catalog_pb2.PutItemsRequest(items=[{"item_id": str(n), "name": "x" * n} for n in range(300)])
    kind = _wire.kind_of(request)
    body = _wire.request_bytes(kind, request)
    request.command_id = _wire.command_id_in(body)
    assert request.SerializeToString() == body
    batch = session_batch.session_request([pending(_wire.as_command(kind, body))] * 2)
    parsed = session_pb2.SessionRequest.FromString(batch)
    assert [command.put_items for command in parsed.commands] == [request, request]


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 30), st.integers(1, 2000))
def test_batches_have_all_commands_in_their_order_within_the_limits(
    commands: list[bytes], commands_max: int, bytes_max: int
) -> None:
    queue, taken = deque(map(pending, commands)), []
    while batch := session_batch.take(queue, commands_max, bytes_max, 0.0, pytest.fail):
        request = session_batch.session_request(batch)
        assert len(batch) == 1 or (len(batch) <= commands_max and len(request) <= bytes_max)
        assert all(one.state == session_batch.SENT for one in batch)
        taken += [one.command for one in batch]
    assert taken == commands
    assert not queue


def test_a_batch_leaves_out_who_went_away_and_turns_away_who_is_late() -> None:
    gone, late, sent_late, good = pending(b"1"), pending(b"2"), pending(b"3"), pending(b"4", deadline_s=9.0)
    gone.answer.cancel()
    sent_late.state = session_batch.UNSURE  # it may have happened: only its answer tells
    turned_away: list[session_batch.Pending] = []
    batch = session_batch.take(deque([gone, late, sent_late, good]), 10, 10_000, 2.0, turned_away.append)
    assert batch == [sent_late, good]
    assert turned_away == [late]
    assert (late.state, sent_late.state) == (session_batch.NEVER_SENT, session_batch.UNSURE)


def test_each_reply_goes_to_its_own_command() -> None:
    first, gone, last = pending(b"1"), pending(b"2"), pending(b"3")
    gone.answer.cancel()
    session_batch.answer([first, gone, last], [b"a", b"b", b"c"])
    assert (first.answer.result(), gone.answer.cancelled(), last.answer.result()) == (b"a", True, b"c")
    with pytest.raises(ValueError, match="expected 1 replies to a batch, found 2"):
        session_batch.answer([first], [b"a", b"b"])


@given(REPLIES, st.booleans())
def test_an_answer_is_split_as_protobuf_does(replies: list[session_pb2.CommandReply], draining: bool) -> None:
    data = session_pb2.SessionResponse(replies=replies, draining=draining).SerializeToString()
    split, found_draining = _wire.split_replies(data)
    assert split == [reply.SerializeToString() for reply in replies]
    assert found_draining == draining
    kind = _wire.KIND_OF[sale_pb2.SellRequest]
    assert [_wire.parsed_reply(kind, reply) for reply in split] == [reply.sell for reply in replies]


@given(REPLIES, st.binary(max_size=40), st.integers(0, 500))
def test_broken_bytes_never_give_a_reply_that_is_not_there(
    replies: list[session_pb2.CommandReply], noise: bytes, at: int
) -> None:
    good = session_pb2.SessionResponse(replies=replies).SerializeToString()
    for data in (noise, good[:at], good[:at] + noise + good[at:]):
        try:
            split, _ = _wire.split_replies(data)
        except _wire.BrokenReplyError:
            continue
        assert sum(map(len, split)) <= len(data)
        assert all(reply in data for reply in split)


def test_fields_of_a_newer_engine_are_passed_over() -> None:
    good = session_pb2.SessionResponse(replies=[session_pb2.CommandReply(sell=sale_pb2.SellResponse(code=1))])
    newer = b"\x18\x05" + b"\x25aaaa" + b"\x29aaaaaaaa" + b"\x32\x02hi" + good.SerializeToString()
    assert len(_wire.split_replies(newer)[0]) == 1
    with pytest.raises(_wire.BrokenReplyError, match="found 1 bytes that are none after 0 replies"):
        _wire.split_replies(b"\x1b")


def test_an_answer_to_another_command_is_no_answer() -> None:
    kind = _wire.KIND_OF[sale_pb2.SellRequest]
    other = session_pb2.CommandReply(put_items=catalog_pb2.PutItemsResponse(code=1)).SerializeToString()
    with pytest.raises(_wire.BrokenReplyError, match="answer to Sell"):
        _wire.parsed_reply(kind, other)
    with pytest.raises(_wire.BrokenReplyError, match="expected a SellResponse"):
        _wire.parsed(kind, b"\xff")
    rejected = session_pb2.CommandReply(rejected=session_pb2.Rejected(message="expected 16 bytes, found 3"))
    with pytest.raises(RejectedCommand, match="expected 16 bytes, found 3"):
        _wire.parsed_reply(kind, rejected.SerializeToString())


def test_what_is_no_request_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="found SellResponse; did you mean SellRequest"):
        _wire.kind_of(sale_pb2.SellResponse())
    with pytest.raises(ValueError, match=r"did you mean '/ringup.v1.SaleService/Sell'"):
        _wire.kind_of_path("/ringup.v1.SaleService/Sel")
    with pytest.raises(TypeError, match="found GetItem, a query"):
        _wire.as_command(_wire.KIND_OF[catalog_pb2.GetItemRequest], b"")
    with pytest.raises(ValueError, match="send fewer rows"):
        _wire.request_bytes(PUT_ITEMS, catalog_pb2.PutItemsRequest(items=[{"name": "x" * _wire.MESSAGE_BYTES_MAX}]))


def test_every_result_code_has_its_sentence() -> None:
    names = {name.removeprefix("RESULT_CODE_") for name in result_pb2.ResultCode.keys()}  # noqa: SIM118  # an enum wrapper
    assert set(errors.ADVICE) == names
    for name, (expected, next_step) in errors.ADVICE.items():
        assert len(expected) > 8, name
        assert len(next_step) > 8, name
        assert not next_step.endswith("."), name


def test_a_refusal_says_what_was_expected_found_and_to_do() -> None:
    problem = result_pb2.Problem(field="tenders.amount_minor", index=2, subject="T1", found=500, limit=999)
    refused = Refused("Sell", sale_pb2.SellResponse(code=result_pb2.RESULT_CODE_TENDER_SHORT, problem=problem))
    assert (refused.code, refused.code_name) == (result_pb2.RESULT_CODE_TENDER_SHORT, "TENDER_SHORT")
    assert refused.problem == problem
    assert str(refused) == (
        "Sell: expected tenders that cover what is due, found 'T1' 500 against 999 at tenders[2].amount_minor; "
        "take the rest in another tender [TENDER_SHORT]"
    )
    problem = result_pb2.Problem(field="scope.location_ids", index=1, subject="S9")
    response = stock_pb2.HoldStockResponse(code=result_pb2.RESULT_CODE_LOCATION_UNKNOWN, problem=problem)
    assert "found 'S9' at scope.location_ids[1]; " in str(Refused("HoldStock", response))
    response.problem.field = "location_id"
    assert "found 'S9' at location_id; " in str(Refused("HoldStock", response))
    response.problem.field = "lines.not_known_here"
    assert "at lines[1].not_known_here; " in str(Refused("HoldStock", response))
    response.problem.field = "not_known_here"
    assert "at not_known_here[1]; " in str(Refused("HoldStock", response))
    newer = Refused("Sell", sale_pb2.SellResponse(code=9999))
    assert newer.code_name == "CODE_9999"
    assert "bring the client up" in str(newer)


def test_no_answer_says_whether_it_may_have_happened() -> None:
    kind = _wire.KIND_OF[sale_pb2.SellRequest]
    body = _wire.request_bytes(kind, sale_pb2.SellRequest(command_id=b"k" * 16))
    unsure = _retry.no_answer(kind, body, True, "UNAVAILABLE: gone")
    assert isinstance(unsure, NoAnswer)
    assert (unsure.may_have_happened, unsure.command_id) == (True, b"k" * 16)
    assert "may have happened: send it again with the same id" in str(unsure)
    assert _wire.opened(unsure.command) == (kind, body)
    sure = _retry.no_answer(kind, body, False, "no engine")
    assert not sure.may_have_happened
    assert "did not happen" in str(sure)
    query = _retry.no_answer(_wire.KIND_OF[catalog_pb2.GetItemRequest], b"", True, "UNAVAILABLE: gone")
    assert (query.may_have_happened, query.command_id, query.command) == (False, b"", b"")


def test_waits_double_to_a_second_and_are_shortened_by_chance() -> None:
    longest, shortest = _retry.Backoff(lambda: 1.0), _retry.Backoff(lambda: 0.0)
    waits = [longest.next_s() for _ in range(8)]
    assert waits == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0])
    assert [shortest.next_s() for _ in range(8)] == pytest.approx([wait / 2 for wait in waits])
    longest.reset()
    assert longest.next_s() == pytest.approx(0.02)
