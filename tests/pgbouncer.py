"""A PgBouncer of the tests' own before the database of the tests, in its transaction mode."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import free_port
from tests.waiting import wait_for

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
POOL_SIZE = 3


class PgBouncer:
    """Takes connections on `port`; as a context manager it runs."""

    def __init__(self, database: dict[str, Any]) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="butler-pgbouncer-"))
        password = f" password={database['PASSWORD']}" if database["PASSWORD"] else ""
        server = f"host={database['HOST']} port={database['PORT']} user={database['USER']}{password}"
        lines = [
            f"[databases]\n* = {server}",
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =",
            # As it comes: no startup parameter is ignored
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = 200",
        ]
        (self._folder / "pgbouncer.ini").write_text("\n".join(lines))
        # It refuses to run as root
        self._as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as_owner:
            shutil.chown(self._folder, "postgres")

    def __enter__(self) -> PgBouncer:
        command = [*self._as_owner, str(PROGRAM), "--quiet", str(self._folder / "pgbouncer.ini")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(self._answers, seconds=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
