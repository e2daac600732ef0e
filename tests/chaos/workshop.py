"""What the sites of one run share, made once: certificates, empty databases with all tables, a PostgreSQL server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cached_property
from itertools import count
from pathlib import Path

from qlik.simulator.certificates import ensure_certificates
from tests.chaos.databases import Database, PostgresDatabase, SqliteDatabase
from tests.chaos.postgres import PostgresServer
from tests.chaos.programs import ROOT, environment


class Workshop:
    """Makes folders, certificates and databases; `close` takes everything away but the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._has_postgres = False

    @cached_property
    def certificates(self) -> Path:
        """A folder with the simulator's certificates."""
        folder = self.folder / "certificates"
        ensure_certificates(folder)
        return folder

    @cached_property
    def postgres(self) -> PostgresServer:
        """The PostgreSQL server; raises NoPostgresError."""
        server = PostgresServer()
        self._has_postgres = True
        return server

    def make_folder(self) -> Path:
        """Return a new folder."""
        folder = self.folder / f"site-{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder

    def make_database(self, kind: str, *, folder: Path) -> Database:
        """Return a new database of a kind, `sqlite` or `postgres`, that has all tables and no rows."""
        if kind == "postgres":
            return self.postgres.make_database(template=self._postgres_template)
        file = folder / "butler.sqlite3"
        shutil.copy(self._sqlite_template, file)
        return SqliteDatabase(file)

    def drop_database(self, database: Database) -> None:
        """Delete a database; one that is a file goes with its folder."""
        if isinstance(database, PostgresDatabase):
            self.postgres.drop_database(database)

    def close(self) -> None:
        """Stop the PostgreSQL server."""
        if self._has_postgres:
            self.postgres.close()

    @cached_property
    def _sqlite_template(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "template.sqlite3"
        self._migrate(f"sqlite:///{file}")
        return file

    @cached_property
    def _postgres_template(self) -> str:
        empty = self.postgres.make_database()
        self._migrate(empty.url)
        return empty.url.rpartition("/")[2]

    def _migrate(self, url: str) -> None:
        settings = environment(BUTLER_DATA_DIR=str(self.folder), DATABASE_URL=url, SECRET_KEY="chaos")
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=settings, check=True, timeout=120
        )
