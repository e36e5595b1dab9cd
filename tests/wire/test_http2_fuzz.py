"""Frames of HTTP/2 with faults in them, by seed: the server neither dies of them nor keeps anything."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import random
import struct

import pytest
from structlog.testing import capture_logs

from ringup.engine import edge_http2
from ringup.engine.edge_http2 import Call, Server
from ringup.native import http2
from tests.wire.test_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Shop,
    Wire,
    block,
    call,
    frame,
    message,
    run,
    until,
)

pytestmark = pytest.mark.skipif(edge_http2.load() is not None, reason="no libnghttp2 on this machine")

CONNECTIONS = int(os.environ.get("RINGUP_FUZZ_CONNECTIONS", "150"))  # of a seed
PATHS = (
    "/a.Shop/Echo",
    "/a.Shop/Streams",
    "/a.Shop/Floods",
    "/a.Shop/Fails",
    "/a.Shop/Other",
    "/grpc.health.v1.Health/Check",
)
NUMBERS = (0, 1, 2, 3, 5, 8, 0x3FFF, 0x4000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)


def valid(rng: random.Random) -> list[bytes]:
    """The frames of some calls, mixed."""
    frames: list[list[bytes]] = []
    for stream in range(1, 2 * rng.randrange(1, 8), 2):
        body = b"".join(
            message(gzip.compress(bytes(size)), 1) if rng.random() < 0.2 else message(bytes(size))
            for size in rng.choices((0, 1, 100, 20_000), k=rng.choice((1, 1, 1, 2, 5)))
        )
        headers = rng.sample((("grpc-timeout", "20m"), ("grpc-encoding", "gzip"), ("a-bin", "AA"), ("x", "y" * 300)), 2)
        size = rng.choice((1, 7, 1000, 16_384)) if len(body) < 1000 else 16_384
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        one = [frame(HEADERS, END_HEADERS, stream, block(rng.choice(PATHS), *headers))]
        one += [frame(DATA, 0, stream, part) for part in parts] + [frame(DATA, END_STREAM, stream)]
        if rng.random() < 0.3:
            one.insert(rng.randrange(1, len(one) + 1), frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
        frames.append(one)
    mixed = []
    while frames:
        one = rng.choice(frames)
        mixed.append(one.pop(0))
        if not one:
            frames.remove(one)
    return mixed


def mutated(rng: random.Random, frames: list[bytes]) -> bytes:
    """With a fault or several, most of them after a beginning that is as it should be."""
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(len(frames))
        one = bytearray(frames[at])
        if not one:  # cut off before
            continue
        match rng.randrange(9):
            case 0:
                one[rng.randrange(len(one))] ^= 1 << rng.randrange(8)
            case 1:
                one[rng.randrange(min(9, len(one)))] = rng.randrange(256)
            case 2:
                del one[rng.randrange(len(one)) :]
            case 3:
                frames.insert(rng.randrange(len(frames)), bytes(one))
            case 4:
                stream, number = rng.choice((0, 1, 3, 5, 99)), struct.pack(">I", rng.choice(NUMBERS))
                frames.insert(at, frame(rng.choice((WINDOW_UPDATE, RST_STREAM)), 0, stream, number))
            case 5:
                setting = struct.pack(">HI", rng.randrange(1, 10), rng.choice(NUMBERS))
                frames.insert(at, frame(SETTINGS, 0, 0, setting * rng.randrange(1, 4)))
            case 6:
                frames.insert(at, frame(rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 3)), rng.randbytes(8)))
            case 7:
                frames.pop(at) if len(frames) > 1 else None
                continue
            case _:
                one[4:5] = bytes((one[4] | 8,)) if len(one) > 4 else b""  # padded
        if at < len(frames):
            frames[at] = bytes(one)
    return b"".join(frames)


async def attack(rng: random.Random, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = mutated(rng, [PREFACE, frame(SETTINGS, 0, 0), frame(SETTINGS, 1, 0), *valid(rng)])
    try:
        size = rng.choice((len(data), len(data), 16_384, 1 + len(data) // 20))
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await asyncio.sleep(0)
        if rng.random() < 0.5:
            async with asyncio.timeout(rng.choice((0.005, 0.02))):
                while await reader.read(1 << 16):
                    pass
    except (ConnectionError, TimeoutError, RuntimeError):  # uvloop's is the last, of a socket that was closed
        pass
    finally:
        writer.transport.abort() if rng.random() < 0.5 else writer.close()


@pytest.mark.parametrize("seed", [int(one) for one in os.environ.get("RINGUP_FUZZ_SEEDS", "1 2 3").split()])
def test_frames_with_faults_hurt_nobody_and_leave_nothing(seed: int) -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        rng = random.Random(seed)
        shop.open.set()
        neighbour, stream = await Wire.to(port), 1
        for first in range(0, CONNECTIONS, 5):
            together = [attack(random.Random(rng.random()), port) for _ in range(5)]
            attacks = asyncio.gather(*together)
            neighbour.send(call(stream, "/grpc.health.v1.Health/Check", message(b"")))
            async with asyncio.timeout(5):
                assert await neighbour.until(DATA, stream) == message(b"[]"), f"seed {seed}, from {first} on"
                neighbour.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100)))
            await attacks
            stream += 2
        await until(lambda: len(server.connections) == 1 and server.serving.calls == 0)
        await asyncio.sleep(0.01)
        assert "a connection failed" not in {one["event"] for one in logs}, "a mistake of the server, not of its caller"
        logs.clear()  # they know their calls
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, (Call, http2.Connection))]
        assert len(alive) <= 2, "the neighbour's connection and its last call"
        assert not failures
        neighbour.close()

    with capture_logs() as logs:
        run(test)
