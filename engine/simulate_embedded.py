"""An engine without wire, disk or clock: a fresh core that runs requests one by one, for cases and tests.

    engine = EmbeddedEngine()
    response = engine.call("HoldStock", HoldStockRequest(...))

Time stands still until `advance`.  Answers are those of a served engine, since it runs the same core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ringup.engine.contract import FILES, methods
from ringup.engine.promotion_checks import check_now
from ringup.native.core import Core
from ringup.v1 import session_pb2

START_NS = 1_767_225_600_000_000_000  # 2026-01-01, any instant would do


class EmbeddedEngine:
    """A core of its own, its batches and its stored replies."""

    def __init__(self) -> None:
        self.core = Core()
        self.now_ns = START_NS
        self.sequence = 0
        self.replies: dict[tuple[int, int], Any] = {}
        self.kinds = {method.name: method.kind for method in methods()}
        self.fields = {field.number: field.name for field in session_pb2.Command.DESCRIPTOR.fields}
        self.answers = {
            method.name: GetMessageClass(method.output_type)
            for file in FILES
            for service in file.services_by_name.values()
            for method in service.methods
        }

    def advance(self, millis: int) -> None:
        """Let time pass, in ms; what is due expires."""
        self.now_ns += millis * 1_000_000
        self.batch([])

    def call(self, method: str, request: Message) -> Any:
        """Answer one RPC by its name; a command runs in a batch of its own.

        Raises ValueError for bytes that the core rejects.
        """
        if self.kinds[method]:
            return self.batch([(method, request)])[0]
        if method == "CheckPromotions":
            return check_now(self.core, request.SerializeToString(), self.now_ns)
        answer = self.answers[method]()
        answer.ParseFromString(self.core.query(method, request.SerializeToString(), self.now_ns))
        return answer

    def batch(self, requests: Sequence[tuple[str, Message]]) -> list[Any]:
        """Run commands in one batch, in this order; their answers."""
        session = session_pb2.SessionRequest()
        for method, request in requests:
            getattr(session.commands.add(), self.fields[self.kinds[method]]).CopyFrom(request)
        self.sequence += 1
        self.core.begin(self.sequence, self.now_ns)
        if not requests:
            self.core.end()
            return []
        answered, _, _ = self.core.apply(session.SerializeToString())
        self.core.end()
        answers = []
        for index, reply in enumerate(session_pb2.SessionResponse.FromString(answered).replies):
            body = reply.WhichOneof("body")
            if body == "rejected":
                raise ValueError(reply.rejected.message)
            if body == "reply_at":
                answers.append(self.replies[reply.reply_at.sequence, reply.reply_at.index])
                continue
            answers.append(getattr(reply, body))
            self.replies[self.sequence, index] = answers[-1]
        return answers
