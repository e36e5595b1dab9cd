"""Who calls, and which roles they have: what the edge lets in.

A file of callers names each caller, what its secret hashes to and its roles:

    [web-shop]
    secret_sha256 = "..."      # or a list of them, while the secret changes
    roles = ["shop"]

Without a file nobody is asked.  With one, every call needs a secret, and what the tables of states give to a role
(native/stock_states.pyx) is refused to those who have it not.  Anything else may be done with any secret.

An engine at work takes a changed file over when it gets SIGHUP: from then on, on open streams too.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import secrets
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringup.engine.config import SettingError
from ringup.native.envelope import insert_replies, without_kinds
from ringup.native.stock_states import actions, hold_actions
from ringup.v1 import result_pb2, session_pb2, stock_pb2

ROLES = ("shop", "store", "warehouse", "till")
HEADER = "authorization"
SCHEME = "Bearer "
SECRET_BYTES = 32  # of chance in a secret that is made here
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# The command of each action of the tables; the clock's have none.
_COMMANDS = {
    "add": "place_order",
    "pick": "pick_order",
    "pack": "pack_order",
    "ready": "ready_order",
    "hand over": "hand_over_order",
    "ship (all)": "ship_order",
    "unship": "unship_order",
    "cancel (all)": "cancel_order",
}
_HOLD_COMMANDS = {
    "hold": "hold_stock",
    "resize": "resize_hold",
    "extend": "extend_hold",
    "pay": "pay_hold",
    "release": "release_hold",
    "commit": "commit_hold",
}


_NEXT = (
    "ask whoever runs the engine for a secret (`ringup caller`) and send it: clients take it as secret=, `ringup` "
    "itself from the file that RINGUP_SECRET_FILE names"
)


class CallersError(SettingError):
    """A file of callers that cannot be used; the message says where and what was expected."""


class NotAuthenticated(Exception):
    """A call without the secret of a caller; nothing of it was executed."""


def allowed_by_command() -> dict[str, str]:
    """The roles that may send a command, by its name in `Command`: {"pick_order": "store or warehouse", ...}."""
    found: dict[str, str] = {}
    for commands, table in ((_COMMANDS, actions()), (_HOLD_COMMANDS, hold_actions())):
        by_action = dict(table)
        found.update((command, by_action[action]) for action, command in commands.items())
    return found


def _allowed_by_kind() -> dict[int, str]:
    fields = session_pb2.Command.DESCRIPTOR.fields_by_name
    return {fields[command].number: roles for command, roles in allowed_by_command().items()}


_ALLOWED = _allowed_by_kind()


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller: `denied` has a byte for each kind of command (field number in `Command`), set where it may not."""

    name: str
    roles: tuple[str, ...]
    denied: bytes

    def may(self, kind: int) -> bool:
        """Whether this caller may send commands of a kind; 0 is a query."""
        return kind >= len(self.denied) or not self.denied[kind]

    def refusal(self, kind: int) -> bytes:
        """The answer to a command of a kind that it may not send: code and problem, where all answers have them."""
        problem = result_pb2.Problem(
            field="role", subject=f"{self.name} ({', '.join(self.roles) or 'no role'})", allowed=_ALLOWED[kind]
        )
        # Every answer has code and problem under the same numbers; a test holds the contract to it.
        return stock_pb2.PlaceOrderResponse(
            code=result_pb2.RESULT_CODE_ROLE_NOT_ALLOWED, problem=problem
        ).SerializeToString()

    def screened(self, request: bytes) -> tuple[bytes, dict[int, bytes]]:
        """A SessionRequest without what this caller may not send, and the replies to that by their positions."""
        if not self.denied:
            return request, {}
        rest, refused = without_kinds(request, self.denied)
        fields = session_pb2.CommandReply.DESCRIPTOR.fields_by_number
        replies: dict[int, bytes] = {}
        for position, kind in refused:
            reply = session_pb2.CommandReply()
            getattr(reply, fields[kind].name).MergeFromString(self.refusal(kind))
            replies[position] = reply.SerializeToString()
        return rest, replies


def answered(response: bytes, replies: dict[int, bytes]) -> bytes:
    """The SessionResponse to the whole request: the answers to what was let through, and those of `screened`."""
    return insert_replies(response, replies)


def caller_of(name: str, roles: Iterable[str]) -> Caller:
    """A caller with these roles."""
    have = tuple(roles)
    denied = bytearray(max(_ALLOWED) + 1)
    for kind, allowed in _ALLOWED.items():
        denied[kind] = not set(allowed.split(" or ")) & set(have)
    return Caller(name, have, bytes(denied) if any(denied) else b"")


def header_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | bytes | None:
    """What a call says of who sent it."""
    return next((value for key, value in metadata or () if key == HEADER), None)


class Callers:
    """All callers of a file."""

    def __init__(self, by_digest: dict[str, Caller]) -> None:
        self._by_digest = by_digest
        self._by_value: dict[str, Caller] = {}  # headers that were right before: one look-up a call

    def __len__(self) -> int:
        return len({caller.name for caller in self._by_digest.values()})

    def become(self, other: Callers) -> None:
        """Be the callers of a changed file from now on."""
        self._by_digest = other._by_digest
        self._by_value.clear()

    def find(self, value: str | bytes | None) -> Caller:
        """Who sent this header.  Raises NotAuthenticated."""
        if not isinstance(value, str) or not value.startswith(SCHEME):
            found = "none" if value is None else "another"
            raise NotAuthenticated(f"expected the metadata '{HEADER}: {SCHEME}SECRET', found {found}; {_NEXT}")
        caller = self._by_value.get(value)
        if caller is None:
            digest = hashlib.sha256(value.removeprefix(SCHEME).strip().encode()).hexdigest()
            caller = self._by_digest.get(digest)
            if caller is None:
                raise NotAuthenticated(f"expected the secret of a caller, found one that nobody has; {_NEXT}")
            self._by_value[value] = caller
        return caller


def read_callers(file: Path) -> Callers:
    """The callers in a file.  Raises CallersError."""
    by_digest: dict[str, Caller] = {}
    for name, table in _tables(file).items():
        caller, digests = _read(file, name, table)
        for digest in digests:
            if digest in by_digest:
                raise CallersError(
                    f"{file}: [{name}]: expected a secret of its own, found that of [{by_digest[digest].name}]; "
                    "make one with `ringup caller`"
                )
            by_digest[digest] = caller
    if not by_digest:
        raise CallersError(f"{file}: expected at least one caller, found none; add one with `ringup caller`")
    return Callers(by_digest)


def _tables(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallersError(
            f"{file}: expected a file of callers, found: {error.strerror}; make one with `ringup caller`"
        ) from error
    except ValueError as error:
        raise CallersError(f"{file}: expected TOML, found: {error}") from error


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known := list(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


def _read(file: Path, name: str, table: object) -> tuple[Caller, list[str]]:
    def wrong(what: str) -> CallersError:
        return CallersError(f"{file}: [{name}]: {what}")

    if not isinstance(table, dict):
        raise wrong("expected a table for each caller, found a value outside of any")
    for key in table:
        if key not in ("secret_sha256", "roles"):
            raise wrong(f"no setting is called {key!r}; {_near(key, ('secret_sha256', 'roles'))}")
    if not _NAME.fullmatch(name):
        raise wrong("expected a name of at most 64 letters, digits, dots and dashes")
    roles, digests = table.get("roles"), table.get("secret_sha256")
    if not isinstance(roles, list):
        raise wrong(f"roles: expected a list of {', '.join(ROLES)}, found {roles!r}")
    for role in roles:
        if role not in ROLES:
            raise wrong(f"no role is called {role!r}; {_near(str(role), ROLES)}")
    digests = digests if isinstance(digests, list) else [digests]
    for digest in digests:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise wrong("secret_sha256: expected 64 hexadecimal digits in lower case; make them with `ringup caller`")
    return caller_of(name, dict.fromkeys(roles)), digests


def add_caller(file: Path, name: str, roles: Iterable[str]) -> str:
    """Put a new caller at the end of a file, which may be new; returns its secret, which is stored nowhere.

    Raises CallersError, with the file as it was.
    """
    secret = secrets.token_hex(SECRET_BYTES)
    digest, have = hashlib.sha256(secret.encode()).hexdigest(), list(dict.fromkeys(roles))
    _read(file, name, {"roles": have, "secret_sha256": digest})
    if file.exists():
        if name in _tables(file):
            raise CallersError(f"{file}: [{name}]: expected a new name, found it there; remove its table first")
        read_callers(file)
    listed = ", ".join(f'"{role}"' for role in have)
    text = f'\n[{name}]\nsecret_sha256 = "{digest}"\nroles = [{listed}]\n'
    if "." in name:
        text = text.replace(f"[{name}]", f'["{name}"]', 1)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640), "a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise CallersError(f"{file}: expected to be able to write there, found: {error.strerror}") from error
    return secret
