"""Bad input over the wire: a clear answer with the right status or code, and the engine serves on."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ringup.engine.contract import methods
from ringup.v1 import pricing_pb2, result_pb2, sale_pb2, session_pb2
from support import cpu_time
from support.callers import body_of
from support.core import cash, command_of, line
from support.engine_process import EngineProcess
from support.requests import message_type, method_of, mutated, samples, scrambled

CASES = int(os.environ.get("RINGUP_WIRE_CASES", "1200"))
SEED = int(os.environ.get("RINGUP_SEED", "1"))
HANG_S = 60
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNARY = sorted(method.name for method in methods() if not method.streams)
COMMANDS = sorted(method.name for method in methods() if method.kind)


def _call(channel: grpc.Channel, name: str, data: bytes) -> bytes:
    """Send bytes to an RPC, get bytes."""
    raw: bytes = channel.unary_unary(method_of(name).path)(data, timeout=HANG_S)
    return raw


def _status(channel: grpc.Channel, name: str, data: bytes) -> tuple[grpc.StatusCode, str]:
    """The status of a call that must fail, and its message."""
    with pytest.raises(grpc.RpcError) as failed:
        _call(channel, name, data)
    error: Any = failed.value
    return error.code(), error.details()


def _session(channel: grpc.Channel, frames: Iterable[bytes]) -> tuple[list[session_pb2.SessionResponse], Any]:
    """The answers to batches given as bytes, and the error that ended the stream, if one did."""
    stream = channel.stream_stream("/ringup.v1.SessionService/Session")(iter(frames), timeout=HANG_S)
    answers = []
    try:
        for raw in stream:
            answers.append(session_pb2.SessionResponse.FromString(raw))  # noqa: PERF401 - keeps what came before an error
    except grpc.RpcError as error:
        return answers, error
    return answers, None


def _sell(number: int, **fields: Any) -> sale_pb2.SellRequest:
    given: dict[str, Any] = {"till_id": "T1", "lines": [line("milk")], "tenders": [cash(1000)], **fields}
    return sale_pb2.SellRequest(command_id=b"wire" + number.to_bytes(12, "big"), **given)


def _frame(*requests: Any) -> bytes:
    return session_pb2.SessionRequest(commands=[command_of(request) for request in requests]).SerializeToString()


@pytest.fixture(autouse=True)
def still_serving(engine: Any, channel: grpc.Channel) -> Any:
    """After every test here the engine is well."""
    yield
    assert engine.process.poll() is None
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=HANG_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("size", [0, 15, 17])
def test_an_id_of_the_wrong_length(channel: grpc.Channel, name: str, size: int) -> None:
    request = samples()[name]
    request.command_id = b"x" * size  # type: ignore[attr-defined]
    code, message = _status(channel, name, request.SerializeToString())
    assert code is INVALID
    assert "command_id: expected 16 bytes" in message


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"Simulate"}))
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0b", b"\x00"], ids=["tag", "cut", "group", "zero"])
def test_bytes_that_are_no_message(channel: grpc.Channel, name: str, data: bytes) -> None:
    code, message = _status(channel, name, data)
    assert code is INVALID
    assert message


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0b", b"\x00"])
def test_bytes_that_are_no_promotions(channel: grpc.Channel, data: bytes) -> None:
    """Simulate says in a code what it could not read, as it does for all that it is given."""
    answer = message_type("SimulateResponse").FromString(_call(channel, "Simulate", data))
    assert answer.code == result_pb2.RESULT_CODE_FIELD_INVALID


def test_a_fault_deep_in_a_message(channel: grpc.Channel) -> None:
    request = _sell(1, lines=[line("milk", 7, discounts=[pricing_pb2.LineDiscount(amount_minor=1, reason="reason")])])
    data = request.SerializeToString()
    reason = data.index(b"\x06reason")
    broken = data[:reason] + b"\x7f" + data[reason + 1 :]  # a text longer than all that follows
    assert _status(channel, "Sell", broken)[0] is INVALID
    answers, error = _session(channel, [b"\x0a" + bytes([len(broken) + 2]) + b"\x6a" + bytes([len(broken)]) + broken])
    assert error is None
    assert answers[0].replies[0].WhichOneof("body") == "rejected"


def test_bytes_in_a_session_that_are_no_batch(channel: grpc.Channel) -> None:
    """Batches before it are answered; none after it is read."""
    frames = [_frame(_sell(10)), b"\xff\xff\xff", _frame(_sell(11))]
    answers, error = _session(channel, frames)
    assert [body_of(answer.replies[0]).code for answer in answers] == [result_pb2.RESULT_CODE_OK]
    assert error.code() is INVALID
    assert "SessionRequest" in error.details()
    assert not sale_pb2.GetReceiptResponse.FromString(
        _call(channel, "GetReceipt", sale_pb2.GetReceiptRequest(sale_id=_sell(11).command_id).SerializeToString())
    ).HasField("receipt")


def test_one_bad_command_does_not_spoil_its_batch(channel: grpc.Channel) -> None:
    short = _sell(20)
    short.command_id = b"short"
    answers, error = _session(channel, [_frame(_sell(21), short, _sell(22))])
    assert error is None
    kinds = [reply.WhichOneof("body") for reply in answers[0].replies]
    assert kinds == ["sell", "rejected", "sell"]
    assert "expected 16 bytes" in answers[0].replies[1].rejected.message


def test_a_message_over_four_mebibytes(channel: grpc.Channel) -> None:
    code, message = _status(channel, "GetItem", b"\x0a\xff\xff\xff\x02" + b"x" * (5 << 20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "4194304" in message
    _, error = _session(channel, [b"\x0a" * (5 << 20)])
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_method(channel: grpc.Channel) -> None:
    for path in ("/ringup.v1.SaleService/Give", "/ringup.v9.SaleService/Sell", "/x"):
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary(path)(b"", timeout=HANG_S)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_a_hundred_thousand_lines(engine: EngineProcess, channel: grpc.Channel) -> None:
    request = _sell(30, lines=[line("milk")] * 100_000)
    began_s = cpu_time.of_process(engine.process.pid)
    answer = sale_pb2.SellResponse.FromString(_call(channel, "Sell", request.SerializeToString()))
    assert answer.code == result_pb2.RESULT_CODE_TOO_MANY
    assert (answer.problem.field, answer.problem.found, answer.problem.limit) == ("lines", 100_000, 2000)
    assert cpu_time.of_process(engine.process.pid) - began_s < 2


def test_too_many_commands_in_a_batch(channel: grpc.Channel) -> None:
    answers, error = _session(channel, [_frame(*[_sell(40)] * 4097)])
    assert not answers
    assert error.code() is INVALID
    assert "at most 4096 commands, found 4097" in error.details()


def test_an_empty_batch_has_an_empty_answer(channel: grpc.Channel) -> None:
    answers, error = _session(channel, [b"", _frame(_sell(50))])
    assert error is None
    assert [len(answer.replies) for answer in answers] == [0, 1]


def test_unknown_fields_are_passed_over(channel: grpc.Channel) -> None:
    """What a newer client adds does not make an older engine refuse."""
    data = _sell(60).SerializeToString() + b"\xfa\x7f\x03new" + b"\xf8\x7f\x01"
    assert sale_pb2.SellResponse.FromString(_call(channel, "Sell", data)).code == result_pb2.RESULT_CODE_OK


def test_fuzzed_calls_take_less_than_a_second(engine: EngineProcess, channel: grpc.Channel) -> None:
    """RINGUP_WIRE_CASES sets how many (default 1,200)."""
    rng, base = random.Random(SEED), samples()
    statuses: dict[Any, int] = {}
    for case in range(CASES):
        name = rng.choice(UNARY)
        message = scrambled(base[name], rng)
        if name in COMMANDS:
            message.command_id = rng.randbytes(16)  # type: ignore[attr-defined]
        data = message.SerializeToString()
        if rng.random() < 0.7:
            data = mutated(data, rng)
        began_s = cpu_time.of_process(engine.process.pid)
        try:
            message_type(f"{name}Response").FromString(_call(channel, name, data))
            status: Any = grpc.StatusCode.OK
        except grpc.RpcError as error:
            status = error.code()  # type: ignore[attr-defined]
        took_s = cpu_time.of_process(engine.process.pid) - began_s
        assert took_s < 1, f"seed {SEED}, case {case} took {took_s} s of processor time: {name} {data.hex()}"
        assert status in (grpc.StatusCode.OK, INVALID), f"seed {SEED}, case {case}: {name} {data.hex()} gave {status}"
        statuses[status] = statuses.get(status, 0) + 1
    assert min(statuses.values()) > CASES // 20, statuses
    assert len(statuses) == 2


def test_fuzzed_sessions_end_with_a_status(channel: grpc.Channel) -> None:
    rng = random.Random(SEED)
    for number in range(CASES // 20):
        frames = [_frame(_sell(1000 + 10 * number + n)) for n in range(3)]
        frames[rng.randrange(3)] = mutated(frames[0], rng)
        answers, error = _session(channel, frames)
        assert error is None or error.code() is INVALID
        assert len(answers) == 3 or error is not None


def test_every_service_is_reported_healthy(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in {method.service for method in methods()}:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=HANG_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as failed:
        stub.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=HANG_S)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
