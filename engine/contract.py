"""The services and commands of ringup.v1, read from the protos: the edge has no table of its own."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from ringup.v1 import (
    admin_pb2,
    catalog_pb2,
    event_pb2,
    gift_card_pb2,
    loyalty_pb2,
    pricing_pb2,
    promotion_pb2,
    sale_pb2,
    session_pb2,
    stock_pb2,
)

FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (
        catalog_pb2,
        pricing_pb2,
        promotion_pb2,
        stock_pb2,
        sale_pb2,
        gift_card_pb2,
        loyalty_pb2,
        event_pb2,
        session_pb2,
        admin_pb2,
    )
)


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: `kind` is its field number in `Command`, 0 for a query."""

    service: str  # "ringup.v1.SaleService"
    name: str  # "Sell"
    kind: int
    streams: bool  # both ways, or answers only
    asks_once: bool  # one request, whatever comes back

    @property
    def path(self) -> str:
        """The path on the wire."""
        return f"/{self.service}/{self.name}"


def _kinds() -> dict[str, int]:
    return {
        field.message_type.full_name: field.number
        for field in session_pb2.Command.DESCRIPTOR.fields
        if field.message_type is not None
    }


def methods() -> list[Method]:
    """All RPCs of ringup.v1."""
    kinds = _kinds()

    def method(descriptor: MethodDescriptor) -> Method:
        return Method(
            service=descriptor.containing_service.full_name,
            name=descriptor.name,
            kind=kinds.get(descriptor.input_type.full_name, 0),
            streams=bool(descriptor.client_streaming or descriptor.server_streaming),
            asks_once=not descriptor.client_streaming,
        )

    return [
        method(descriptor)
        for file in FILES
        for service in file.services_by_name.values()
        for descriptor in service.methods
    ]
