"""`make run` in a clone whose folder has a name that few programs expect."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clone import INHERITED, ROOT, Clone
from tests.conftest import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

# With a blank at its end, too
FOLDER = "c++ R#1 %20 å $HOME 'q' a?b "


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone there, set up: its .venv is that of these tests."""
    clone = Clone(tmp_path / FOLDER)
    for part in ("scripts", "requirements"):
        shutil.copytree(ROOT / part, clone.folder / part)
    shutil.copy(ROOT / "Makefile", clone.folder / "Makefile")
    shutil.copytree(ROOT / "docs/examples", clone.folder / "docs/examples")
    own = Path(sys.prefix)
    venv = clone.folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(Path(sys.executable).resolve())
    (venv / "lib").symlink_to(own / "lib")
    shutil.copy(own / "pyvenv.cfg", venv / "pyvenv.cfg")
    shutil.copy(ROOT / "requirements/base.txt", venv / "base.txt")
    return clone


@pytest.fixture
def running(clone: Clone, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The service of the clone, and the file with what it says."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=clone.folder,
            env=inherited | {"BUTLER_PORT": str(free_port()), "BUTLER_WORKERS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    yield process, log
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_it_runs_finds_its_servers_and_keeps_everything_there(clone, running, tmp_path):
    process, log = running
    wait_for(lambda: "Butler is ready" in log.read_text() or process.poll() is not None, seconds=40)
    assert "Butler is ready" in log.read_text(), log.read_text()
    assert f"Data folder {clone.folder / 'data'}" in re.sub(r"\s+", " ", log.read_text())

    imported = clone.manage("schedules", "import", "docs/examples/schedules.yaml")
    assert (imported.returncode, imported.stderr) == (0, ""), imported.stdout
    status = clone.manage("schedules", "status")
    assert "The service is well." in status.stdout, status.stderr
    checked = clone.read("QRS_CERT_DIR", "REDIS_URL")
    assert checked["QRS_CERT_DIR"] == str(clone.folder / "data/certificates")
    assert checked["REDIS_URL"] != "redis://127.0.0.1:6379/0"

    os.killpg(process.pid, signal.SIGINT)
    process.wait(10)
    assert not (clone.folder / "data/run.env").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([FOLDER, "log"])
    assert (clone.folder / "data/butler.sqlite3").is_file()
