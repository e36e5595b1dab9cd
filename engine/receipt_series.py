"""Receipt numbers of an engine that was restored from a backup: none that was given after the backup comes again.

The tills of the engine that was backed up may have printed receipts since, and how many, nobody knows here.  So the
restored engine leaves a gap that can be seen: its receipts begin above a round number that no till has reached.  A
receipt of the lost time is then unknown to it, instead of being somebody else's.
"""

from __future__ import annotations

import structlog

from ringup.engine.engine import Engine
from ringup.native.envelope import unwrap_reply, wrap_command
from ringup.v1 import admin_pb2, result_pb2, session_pb2

log = structlog.get_logger()

RECEIPTS_LEFT_OUT = 100_000  # more than a till prints between a backup and its restoring


def is_fresh(engine: Engine) -> bool:
    """Whether this engine was restored from a backup and has not written anything yet."""
    ancestors = engine.journal.ancestors
    return bool(ancestors) and ancestors[-1].last_batch == engine.journal.last_sequence()


async def begin_series(engine: Engine) -> None:
    """Let the receipts of a fresh engine begin above all numbers that may have been given; before it is served."""
    answer = admin_pb2.GetSettingsResponse.FromString(engine.query("GetSettings", b""))
    request = admin_pb2.PutSettingsRequest(command_id=bytes.fromhex(engine.engine_id), settings=answer.settings)
    highest = max(engine.core.last_receipt_number(), answer.settings.receipts_after)
    request.settings.receipts_after = (highest // RECEIPTS_LEFT_OUT + 1) * RECEIPTS_LEFT_OUT
    kind = session_pb2.Command.DESCRIPTOR.fields_by_name["put_settings"].number
    _, reply = unwrap_reply(await engine.submit(wrap_command(kind, request.SerializeToString())))
    code = admin_pb2.PutSettingsResponse.FromString(reply).code
    if code != result_pb2.RESULT_CODE_OK:
        log.warning("receipt numbers may come again: the restored engine found no higher ones", highest=highest)
        return
    log.warning(
        "restored from a backup: receipts are numbered on above a round number; those since the backup are not known",
        first_receipt=request.settings.receipts_after + 1,
    )
