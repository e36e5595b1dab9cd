"""Peers from Debian, each started by the benchmark on a free loopback port with its own empty folder.

The settings are the ones written in README.md: durable like the engine (a sync before each answer), and
otherwise what is best for the peer on a small machine.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psycopg
import redis

from bench.measure import Skipped

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "1GB",  # all rows stay in memory
    "synchronous_commit": "on",
    "fsync": "on",
    "wal_sync_method": "fdatasync",
    "full_page_writes": "on",
    "max_wal_size": "8GB",  # no checkpoint in the middle of a round
    "checkpoint_timeout": "30min",
    "autovacuum": "off",  # rounds are short: no vacuum in the middle of one
    "jit": "off",
    "huge_pages": "try",
}
REDIS_SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "auto-aof-rewrite-percentage": "0",  # no rewrite in the middle of a round
    "daemonize": "no",
}
SQLITE_SETTINGS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "cache_size": "-262144",  # 256 MB: all rows stay in memory
    "wal_autocheckpoint": "10000",  # 40 MB: tried, faster than 4 and 400
}
START_SECONDS = 20
STOP_SECONDS = 20


def versions() -> dict[str, str]:
    """peer_..._version: which release of each peer is here, or that it is missing."""

    def says(command: list[str], pattern: str) -> str:
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return "missing"
        found = re.search(pattern, said)
        return found[1] if found else said.strip()

    try:
        oscar = metadata.version("django-oscar")
    except metadata.PackageNotFoundError:
        oscar = "missing"
    return {
        "peer_postgres_version": says([str(POSTGRES_BIN / "postgres"), "--version"], r"([\d.]+)"),
        "peer_redis_version": says(["redis-server", "--version"], r"v=([\d.]+)"),
        "peer_sqlite_version": sqlite3.sqlite_version,
        "peer_oscar_version": oscar,
    }


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running PostgreSQL 15 with an empty database."""

    port: int
    folder: Path
    user: str

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that commits each statement by itself."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user=self.user, dbname="postgres", autocommit=True)

    def make_stock(self, items: int) -> None:
        """stock(item_id, available): a row an item, plenty available, vacuumed and in memory."""
        with self.connect() as connection:
            connection.execute("DROP TABLE IF EXISTS stock")
            # Room in each page, so that updates stay in it (HOT): what an experienced user does.
            connection.execute(
                "CREATE TABLE stock (item_id int PRIMARY KEY, available bigint NOT NULL) WITH (fillfactor = 50)"
            )
            connection.execute("INSERT INTO stock SELECT n, 1000000000 FROM generate_series(1, %s) n", (items,))
            connection.execute("VACUUM ANALYZE stock")
            connection.execute("CHECKPOINT")

    def pgbench(
        self,
        script: str,
        clients: int,
        seconds: float,
        *,
        threads: int = 2,
        transactions: int = 0,
        log: Path | None = None,
    ) -> PgbenchResult:
        """Run a script with PostgreSQL's own load generator (prepared statements).

        For so many seconds (pgbench counts whole ones), or until each client has done so many `transactions`.
        `log` is the beginning of the names of files that get a line for each transaction.
        """
        if seconds < 1:
            transactions = transactions or 20
        path = self.folder / "script.sql"
        path.write_text(script)
        arguments = [str(POSTGRES_BIN / "pgbench"), "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, "-n"]
        arguments += ["-M", "prepared", "-c", str(clients), "-j", str(min(threads, clients)), "-f", str(path)]
        arguments += ["-t", str(transactions)] if transactions else ["-T", str(max(1, round(seconds)))]
        arguments += ["-l", f"--log-prefix={log}"] if log else []
        arguments += ["--max-tries=1", "postgres"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds + 60, check=False)
        found = re.search(r"tps = ([\d.]+) \(without", done.stdout)
        failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
        average = re.search(r"latency average = ([\d.]+) ms", done.stdout)
        if done.returncode or not found or not average:
            raise RuntimeError(f"pgbench: expected its summary, found: {done.stdout[-500:]} {done.stderr[-500:]}")
        done_count = re.search(r"transactions actually processed: (\d+)", done.stdout)
        assert done_count, f"pgbench: expected its transactions, found: {done.stdout[-500:]}"
        return PgbenchResult(float(found[1]), float(average[1]), int(failed[1]) if failed else 0, int(done_count[1]))


@dataclass(frozen=True, slots=True)
class PgbenchResult:
    """What pgbench said."""

    per_s: float
    average_ms: float
    failed: int
    transactions: int


@contextmanager
def postgres(work: Path) -> Iterator[Postgres]:
    """PostgreSQL 15, stopped at the end; raises Skipped where it is not installed."""
    if not (POSTGRES_BIN / "initdb").exists():
        raise Skipped("PostgreSQL 15 is not installed (apt-get install postgresql-15)")
    user = pwd.getpwuid(os.getuid()).pw_name
    as_user: str | None = None
    if os.getuid() == 0:  # PostgreSQL refuses root
        try:
            pwd.getpwnam("postgres")
        except KeyError as error:
            raise Skipped("PostgreSQL refuses root, and there is no user postgres to run it as") from error
        user = as_user = "postgres"
    folder = work / "postgres"
    folder.mkdir()
    if as_user:
        shutil.chown(folder, as_user)
        work.chmod(work.stat().st_mode | 0o011)  # that user must get through to its folder
    initdb = [str(POSTGRES_BIN / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", user, "--no-sync"]
    made = subprocess.run(
        [*initdb, "--locale=C", "-E", "UTF8"], capture_output=True, text=True, user=as_user, cwd="/", check=False
    )
    if made.returncode:
        raise RuntimeError(f"PostgreSQL could not make a database in {folder}: {' '.join(made.stderr.split())[-300:]}")
    port = free_port()
    settings = {**POSTGRES_SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (work / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [str(POSTGRES_BIN / "postgres"), "-D", str(folder / "data"), *options],
            stdout=log,
            stderr=log,
            user=as_user,
            cwd="/",
        )
    server = Postgres(port, work, user)
    try:
        _wait(process, work / "postgres.log", lambda: server.connect().close(), psycopg.OperationalError)
        yield server
    finally:
        _end(process, signal.SIGINT)  # its fast shutdown


@dataclass(frozen=True, slots=True)
class Redis:
    """A running Redis 7."""

    port: int

    def connect(self) -> redis.Redis:
        """A connection."""
        return redis.Redis(host="127.0.0.1", port=self.port)


@contextmanager
def redis_server(work: Path) -> Iterator[Redis]:
    """Redis with appendfsync always, stopped at the end; raises Skipped where it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None or shutil.which("redis-benchmark") is None:
        raise Skipped("redis-server 7 is not installed (apt-get install redis-server)")
    folder = work / "redis"
    folder.mkdir()
    port = free_port()
    settings = {**REDIS_SETTINGS, "port": str(port), "dir": str(folder)}
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    with (work / "redis.log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, cwd="/")
    server = Redis(port)
    try:
        _wait(process, work / "redis.log", lambda: server.connect().ping(), redis.ConnectionError)
        yield server
    finally:
        _end(process, signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes], log: Path, attempt: Callable[[], object], not_yet: type[Exception]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            attempt()
            return
        except not_yet as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"expected a peer that answers, found: {log.read_text()[-1000:]}") from error
            time.sleep(0.05)
