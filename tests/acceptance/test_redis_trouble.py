"""A Redis that answers and refuses: the processes of the service ride it out, and health names it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.acceptance.service import Service
from tests.acceptance.test_make_run import EVERY_SECOND, starts
from tests.conftest import RedisServer

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.timeout(180),
]

#: What turns Redis down, what turns it back, and words that health has of it
TROUBLES = {
    "full": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "used memory"),
    "read-only": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "read only replica"),
    "password": (["CONFIG", "SET", "requirepass", "other"], ["CONFIG", "SET", "requirepass", ""], "uthenti"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def service(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a Redis of ours and a task to start each second."""
    with Service(tmp_path_factory.mktemp("service") / "data", REDIS_URL=server.url) as running:
        assert running.call("POST", "/v4/schedules", EVERY_SECOND).status_code == 201
        running.wait_for(lambda: starts(running) > 0, seconds=10)
        yield running


def problems_of(service: Service) -> str:
    return " ".join(json.loads(service.call("GET", "/v4/health").text)["reasons"])


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_processes_ride_it_out_and_go_on_when_it_is_over(service, server, trouble):
    turn_down, turn_back, words = TROUBLES[trouble]
    programs = {name: service.pid_of(name) for name in ("web", "beat", "worker")}
    with server.client() as client:
        client.execute_command(*turn_down)
        # Who is connected needs no password, and a worker that has nothing in hand writes nothing
        client.client_kill_filter(_type="normal", skipme=True)
        client.client_kill_filter(_type="pubsub")
        service.wait_for(lambda: words in problems_of(service), seconds=10)
        service.wait_for(lambda: is_quiet(service), seconds=20)
        before = starts(service)
        assert {name: service.pid_of(name) for name in programs} == programs, service.output
        client.execute_command(*turn_back)

        service.wait_for(lambda: starts(service) > before, seconds=5)

    service.wait_for(lambda: words not in problems_of(service), seconds=10)
    assert {name: service.pid_of(name) for name in programs} == programs, service.output


def is_quiet(service: Service) -> bool:
    """Return whether nothing was started for three seconds, though something is due each second."""
    before = starts(service)
    with suppress(AssertionError):
        service.wait_for(lambda: starts(service) > before, seconds=3)
        return False
    return True
