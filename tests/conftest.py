"""Fixtures for every folder: a Redis server, schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from schedules import services, wakeup
from schedules.changes import Origin
from schedules.models import Schedule, ScheduleChange
from tests.redis_server import RedisServer, free_port

__all__ = ["ORIGIN", "TASK_ID", "RedisServer", "free_port"]

TASK_ID = "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"
ORIGIN = Origin(ScheduleChange.Source.COMMAND, "tests")


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
