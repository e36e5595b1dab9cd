"""Webhooks over HTTPS: a receiver whose authority is trusted gets its events; any other gets none and is told apart."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="makes the certificates: pip install ringup[test]")
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.callers import open_shop
from support.engine_process import EngineProcess
from support.webhook_receiver import SECRET, Sending, cursor, is_done_to, move, ran, receiving, until

DAY = timedelta(days=1)


@dataclass
class Authority:
    """A certificate authority made for one test, and the PEM file that trusts it."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        own = self._builder(self._subject, self._key, DAY).add_extension(x509.BasicConstraints(True, None), True)
        own = own.add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
        )
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, left: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + left)
        )

    def server(self, host: str = "127.0.0.1", left: timedelta = DAY) -> ssl.SSLContext:
        """TLS of a server with a certificate of this authority for an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        signed = self._builder(subject, key, left).add_extension(names, False).sign(self._key, hashes.SHA256())
        file = self.folder / f"server-{signed.serial_number}.pem"
        file.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("tls")) as process:
        with process.channel() as channel:
            open_shop(channel, 1000)
        yield process
        assert process.stop() == 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def test_a_receiver_whose_authority_is_trusted_gets_every_event(
    engine: EngineProcess, authority: Authority, tmp_path: Path
) -> None:
    with receiving(tls=authority.server()) as receiver:
        last = move(engine, 3)
        with Sending(engine, receiver.url, "trusted", tmp_path, "--ca-file", authority.file) as sending:
            until(is_done_to(engine, "trusted", last), "all delivered")
            told = sending.stop()
        assert receiver.sequences() == list(range(1, last + 1))
        assert f"to https://127.0.0.1:{receiver.port} as trusted" in told


def test_one_that_is_not_trusted_gets_nothing_until_its_authority_is_named(
    engine: EngineProcess, authority: Authority, tmp_path: Path
) -> None:
    with receiving(tls=authority.server()) as receiver:
        last = move(engine)
        with Sending(engine, receiver.url, "unknown", tmp_path, "--park-after", "3") as sending:
            told = sending.end(79)
        why = (
            "its certificate is not trusted: unable to get local issuer certificate; correct it, or name its authority"
        )
        assert told.count(why) >= 3, told
        assert receiver.got == []
        parked = cursor(engine, "unknown")
        assert parked is not None
        assert (parked.parked, parked.sequence) == (True, 0)
        assert "3 failures at event 1: its certificate is not trusted" in parked.note
        assert ran("webhook", "retry", "unknown", "--engine", engine.target)[0] == 0
        with Sending(engine, receiver.url, "unknown", tmp_path, "--ca-file", authority.file) as sending:
            until(is_done_to(engine, "unknown", last), "all delivered")
            sending.stop()
        assert receiver.sequences() == list(range(1, last + 1))


def test_a_certificate_that_is_wrong_is_refused_with_its_reason(
    engine: EngineProcess, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    move(engine)
    wrong = {
        "elsewhere": (authority.server("127.0.0.2"), "not valid for '127.0.0.1'"),
        "expired": (authority.server(left=-DAY), "certificate has expired"),
        "other": (other.server(), "unable to get local issuer certificate"),
        "plain": (None, "no TLS with it: "),
    }
    for name, (tls, why) in wrong.items():
        with receiving(tls=tls) as receiver:
            url = receiver.url.replace("http://", "https://")
            args = ("--ca-file", authority.file, "--park-after", "1")
            with Sending(engine, url, name, tmp_path, *args) as sending:
                told = sending.end(79)
            assert why in told, (name, told)
            assert receiver.got == [], name


def test_a_file_of_authorities_that_cannot_be_used_says_so(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "empty.pem").write_text("no certificate\n")
    for file in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        code, _, err = ran(
            "webhook", "run", "--engine", engine.target, "--name", "x", "--url", "https://127.0.0.1:1/",
            "--secret-file", tmp_path / "secret", "--ca-file", file,
        )  # fmt: skip
        assert code == 2, err
        assert f"{file}: expected a PEM file" in err.replace("\n", "")
