"""One post of events: what is signed, how long it may take, and what its answer means."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SIGNATURE_HEADER = "RingUp-Signature"
SECRET_BYTES_MIN = 16
ANSWER_BYTES_MAX = 64 << 10  # read of an answer, so that its connection can be used again
RETRY_AFTER_S_MAX = 3600.0


class WebhookError(Exception):
    """A webhook that cannot be run as it is set; the message says what to do."""


def httpx_module() -> Any:
    """The module httpx; WebhookError says how to get it."""
    try:
        import httpx
    except ImportError as error:
        raise WebhookError("expected httpx to be installed, found it missing; pip install ringup[webhooks]") from error
    return httpx


def read_secrets(file: Path) -> list[bytes]:
    """The secrets in a file, one a line: one, or two while receivers change from one to the other."""
    try:
        lines = [line.strip() for line in file.read_bytes().splitlines()]
    except OSError as error:
        raise WebhookError(f"{file}: expected a file with the secret, found {error.strerror}") from error
    secrets = [line for line in lines if line]
    if not secrets or min(map(len, secrets)) < SECRET_BYTES_MIN:
        raise WebhookError(
            f"{file}: expected a secret of at least {SECRET_BYTES_MIN} bytes on each line, found "
            f"{'a shorter one' if secrets else 'none'}; make one with: openssl rand -hex 32"
        )
    return secrets


def trusting(ca_file: Path) -> ssl.SSLContext:
    """TLS that trusts the authorities in a PEM file, and no others."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one: a file without a certificate
        raise WebhookError(
            f"{ca_file}: expected a PEM file with the certificates of the authorities to trust, found: "
            f"{error.strerror or error}"
        ) from error


def tls_failure(error: BaseException) -> str:
    """What was wrong with the receiver's TLS, somewhere under `error`; "" where that was not it."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if isinstance(found, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {found.verify_message.rstrip('.')}; "
            "correct it, or name its authority with --ca-file"
        )
    return f"no TLS with it: {found.reason or found}" if found is not None else ""


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL: what may be shown, for the path of a webhook is often a secret itself."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise WebhookError(f"expected a URL such as https://shop.example/stock, found {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise WebhookError("expected a URL that begins with https:// or http:// and names a host")
    if "@" in parts.netloc:
        raise WebhookError("expected a URL without user and password: they would show in lists of processes")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def body_of(engine_id: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """The JSON of a post; rows are as `event_json.rows_of` makes them, in order and without a gap."""
    first, last = rows[0]["sequence"], rows[-1]["sequence"]
    assert last - first + 1 == len(rows), f"{len(rows)} events from {first} to {last}: there is a gap"
    told = {"engine_id": engine_id, "first_sequence": first, "last_sequence": last, "events": list(rows)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def signature(secrets: Sequence[bytes], timestamp_s: int, body: bytes) -> str:
    """The value of the header: t=TIMESTAMP,v1=HEX, one v1 for each secret.

    HEX is HMAC-SHA256 (RFC 2104) over the timestamp's digits, a full stop and the body.
    """
    signed = b"%d.%s" % (timestamp_s, body)
    return ",".join(
        [f"t={timestamp_s}", *(f"v1={hmac.new(one, signed, hashlib.sha256).hexdigest()}" for one in secrets)]
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A post that was not acknowledged."""

    found: str
    retry_after_s: float = 0.0


def retry_after_s(value: str, now_s: float) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), at most RETRY_AFTER_S_MAX; 0 without a time."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        wait_s = float(value[:9])
    else:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        wait_s = when.timestamp() - now_s if isinstance(when, datetime) else 0.0
    return min(RETRY_AFTER_S_MAX, max(0.0, wait_s))


class Poster:
    """Posts bodies to one URL; use it as an asynchronous context."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes],
        timeout_s: float,
        clock_s: Callable[[], float] = time.time,
        ca_file: Path | None = None,
    ) -> None:
        """`ca_file` names the authorities to trust instead of those that browsers trust."""
        self.origin = origin_of(url)
        self._url, self._secrets, self._timeout_s, self._clock_s = url, secrets, timeout_s, clock_s
        self._httpx = httpx_module()
        # Redirects are not followed: they would carry what is signed for one receiver to another.
        verify = True if ca_file is None else trusting(ca_file)
        self._client = self._httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, verify=verify)

    async def __aenter__(self) -> Poster:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def post(self, body: bytes) -> Failure | None:
        """Post once; None when the receiver answered 2xx within the time."""
        timestamp_s = int(self._clock_s())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "RingUp",
            SIGNATURE_HEADER: signature(self._secrets, timestamp_s, body),
        }
        is_acknowledged = False
        try:
            # httpx limits each read; this limits them all, for an answer that drips.
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                    is_acknowledged = answer.is_success  # with the status line, whatever becomes of the rest
                    await self._drain(answer)
                    if is_acknowledged:
                        return None
                    return Failure(
                        f"HTTP {answer.status_code}",
                        retry_after_s(answer.headers.get("Retry-After", ""), self._clock_s()),
                    )
        except (TimeoutError, self._httpx.TimeoutException):
            return None if is_acknowledged else Failure(f"no answer within {self._timeout_s:g} s")
        except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError) as error:
            # Only the kind, or what TLS says: other messages may carry the URL.
            return None if is_acknowledged else Failure(tls_failure(error) or f"no answer ({type(error).__name__})")

    async def _drain(self, answer: Any) -> None:
        try:
            size = 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    return
        except (self._httpx.HTTPError, OSError):
            return
