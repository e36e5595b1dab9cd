"""One source for a fact: what the core takes for granted about the protos is so."""

from __future__ import annotations

from ringup.engine.contract import FILES, methods
from ringup.v1 import catalog_pb2, result_pb2, sale_pb2, session_pb2

BODY = session_pb2.Command.DESCRIPTOR.oneofs_by_name["body"]


def test_every_command_has_its_id_in_field_1() -> None:
    for field in BODY.fields:
        command_id = field.message_type.fields_by_name["command_id"]
        assert (command_id.number, command_id.type) == (1, command_id.TYPE_BYTES), field.name


def test_every_response_has_code_1_and_problem_2() -> None:
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                fields = method.output_type.fields_by_name
                if method.name == "Session":
                    continue
                assert fields["code"].number == 1, method.full_name
                assert fields["code"].enum_type is result_pb2.ResultCode.DESCRIPTOR
                if "problem" in fields:
                    assert fields["problem"].number == 2, method.full_name
                    assert fields["problem"].message_type is result_pb2.Problem.DESCRIPTOR


def test_a_reply_has_the_number_of_its_command() -> None:
    replies = session_pb2.CommandReply.DESCRIPTOR.fields_by_name
    for field in BODY.fields:
        reply = replies[field.name]
        assert reply.number == field.number
        assert reply.message_type.name == field.message_type.name.replace("Request", "Response")


def test_the_receipt_is_field_3_wherever_it_stands() -> None:
    for message in (sale_pb2.SellResponse, sale_pb2.ReturnLinesResponse, sale_pb2.GetReceiptResponse):
        assert message.DESCRIPTOR.fields_by_name["receipt"].number == 3


def test_every_command_has_a_unary_method() -> None:
    kinds = {method.kind for method in methods() if method.kind}
    assert kinds == {field.number for field in BODY.fields}


def test_result_codes_are_in_order_and_unique() -> None:
    numbers = [value.number for value in result_pb2.ResultCode.DESCRIPTOR.values]
    assert numbers == sorted(set(numbers))
    assert catalog_pb2.PutItemsResponse().code == result_pb2.RESULT_CODE_UNSPECIFIED == 0
