"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, stopped and started at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg

from tests.chaos.databases import PostgresDatabase
from tests.redis_server import free_port

_numbers = count(1)


class NoPostgresError(Exception):
    """There is no PostgreSQL server on this machine."""


class PostgresServer:
    """A server that was made for this run; `can_stop` is false for one that DATABASE_URL names."""

    def __init__(self) -> None:
        self._given = os.environ.get("DATABASE_URL", "")
        self.can_stop = not self._given.startswith("postgres")
        self._template: str | None = None
        if not self.can_stop:
            self._address = self._given.rpartition("/")[0]
            return
        self._bin = find_programs()
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="butler-chaos-postgres-"))
        self._address = f"postgres://butler@127.0.0.1:{self._port}"
        # PostgreSQL refuses to run as root
        self._as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_owner:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", "data", "-U", "butler", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash would: connections break, nobody is waited for."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def close(self) -> None:
        """Leave nothing behind."""
        if self.can_stop:
            with suppress(subprocess.CalledProcessError):
                self.stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def make_database(self, *, template: str | None = None) -> PostgresDatabase:
        """Return a new database: empty, or a copy of another one of this server."""
        name = f"chaos_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(f"{self._address}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return PostgresDatabase(f"{self._address}/{name}")

    def drop_database(self, database: PostgresDatabase) -> None:
        """Delete a database, whoever is connected."""
        name = database.url.rpartition("/")[2]
        with psycopg.connect(f"{self._address}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_owner, str(self._bin / program), *arguments],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


def find_programs() -> Path:
    """Return the folder of initdb and pg_ctl; raises NoPostgresError."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    for folder in [*reversed(folders), *([Path(on_path).parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgresError("no PostgreSQL server found; on Debian: apt-get install postgresql")
