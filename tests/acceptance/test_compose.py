"""docker-compose.yml, without containers: each service's own command and environment, run as a process.

Only what a container engine provides is replaced: host names, ports and folders.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.conftest import TASK_ID, RedisServer, free_port
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Any] = COMPOSE["services"]
NO_POSTGRES = 3


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of this test's own."""
    command = [ROOT / "scripts/with-postgres", "sh", "-c", 'echo "$DATABASE_URL"; cat']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url and server.wait() == NO_POSTGRES and "CI" not in os.environ:
            pytest.skip("no PostgreSQL server on this machine; on Debian: apt-get install postgresql")
        yield url
        server.stdin.close()
        server.wait(timeout=30)


@pytest.fixture
def redis_of_compose(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def resolve(text: str) -> str:
    """Return what compose makes of `${NAME:-default}` where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class Composition:
    """The services of the file with the addresses of this test."""

    def __init__(self, folder: Path, *, postgres_url: str, redis_url: str) -> None:
        self.web_port, self.qrs_port, self.control_port = free_port(), free_port(), free_port()
        self._folder = folder
        self._replaced = {
            "postgres://butler@db:5432/butler": postgres_url,
            "redis://redis:6379/0": redis_url,
            "simulator:4242": f"localhost:{self.qrs_port}",
            "=4242": f"={self.qrs_port}",
            "=4243": f"={self.control_port}",
            "0.0.0.0:8080": f"127.0.0.1:{self.web_port}",
            "=0.0.0.0": "=127.0.0.1",
            "/certificates": f"{folder}/certificates",
            "/data": f"{folder}/data",
        }
        (folder / "data").mkdir()
        (folder / "certificates").mkdir()

    def start(self, name: str) -> subprocess.Popen[bytes]:
        environment = {key: self._here(value) for key, value in SERVICES[name]["environment"].items()}
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = [self._here(part) for part in SERVICES[name]["command"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _here(self, text: str) -> str:
        text = resolve(text)
        for there, here in self._replaced.items():
            text = text.replace(there, here)
        return text


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_the_services_work_together(tmp_path, postgres_url, redis_of_compose):
    composition = Composition(tmp_path, postgres_url=postgres_url, redis_url=redis_of_compose.url)
    assert composition.start("setup").wait(timeout=60) == 0, composition.log("setup")
    with ExitStack() as running:
        for name in ("simulator", "web", "beat", "worker"):
            running.callback(stop, composition.start(name))

        schedules = f"http://127.0.0.1:{composition.web_port}/v4/schedules"
        wait_for(lambda: _answers(schedules), seconds=30, what=composition.log("web"))
        answer = requests.post(
            schedules,
            json={
                "name": "Every second",
                "cronSchedule": "* * * * * *",
                "timezone": "Europe/Stockholm",
                "qlikSenseTaskId": TASK_ID,
                "startupState": "started",
            },
            timeout=10,
        )
        assert answer.status_code == 201, answer.text
        journal = f"http://127.0.0.1:{composition.control_port}/journal"
        wait_for(
            lambda: len(requests.get(journal, timeout=5).json()["entries"]) >= 3,
            seconds=30,
            what=composition.log("worker"),
        )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def test_only_this_machine_reaches_the_api():
    ports = [resolve(port) for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:8080:8080"]


def test_every_setting_of_the_service_can_be_set():
    settings = set(
        re.findall(r'"((?:BUTLER|QRS|REDIS|DATABASE|SECRET)_\w+)"', (ROOT / "butler/settings.py").read_text())
    )
    # The container's own address is fixed; the port is mapped
    assert settings - set(SERVICES["web"]["environment"]) == {"BUTLER_HOST", "BUTLER_PORT", "BUTLER_WORKERS"}


def test_a_service_waits_for_what_it_needs():
    for name in ("web", "beat", "worker"):
        assert SERVICES[name]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    assert SERVICES["setup"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
    }
    assert "simulator" in SERVICES["simulator"]["profiles"]


def test_every_volume_is_declared():
    named = {
        resolve(volume).partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])
    }

    assert named == set(COMPOSE["volumes"])


def test_the_image_holds_every_package_and_what_starts_it():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}

    assert {"manage.py", "gunicorn.conf.py", "requirements/base.txt", "butler", "schedules", "qlik"} <= sources
    assert all((ROOT / source).exists() for source in sources)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert sources <= kept, "what is copied must not be ignored"
