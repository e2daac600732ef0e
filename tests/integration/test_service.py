"""The order of a start and of a stop, with a real Redis and small programs in place of the others."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from butler.errors import StartError
from butler.preparation import AdminLogin
from butler.processes import service as module
from butler.processes.child import Program
from butler.processes.console import Console
from butler.processes.service import Service
from tests.conftest import free_port

LIMIT = 20.0


def small(name: str, script: str = "sleep 1000") -> Program:
    return Program(name=name, command=("sh", "-c", script), folder=Path("/"), environment=os.environ)


class Stage:
    """A service whose programs are small, and what it has said."""

    def __init__(self, folder: Path, settings, monkeypatch) -> None:
        settings.BUTLER_DATA_DIR = folder / "data"
        settings.RUN_FILE = folder / "data/run.env"
        settings.BUTLER_PORT = free_port()
        settings.REDIS_IS_GIVEN = settings.QRS_IS_GIVEN = False
        self.settings = settings
        self.programs = [small("web"), small("beat"), small("worker")]
        self.ready = dict.fromkeys(("web", "beat", "worker", "simulator"), lambda: True)
        monkeypatch.setattr(module, "prepare_service", lambda: AdminLogin("secret", folder / "admin-password"))
        monkeypatch.setattr(module, "service_programs", self._list_programs)
        monkeypatch.setattr(module, "simulator_program", lambda **_: small("simulator"))
        monkeypatch.setattr(module, "LeaseWatch", lambda: None)
        monkeypatch.setattr(Service, "_probes", lambda *_: self.ready)
        self._output = folder / "output"
        self.servers: dict[str, str] = {}

    @property
    def output(self) -> str:
        return self._output.read_text()

    def run(self, scenario) -> str:
        """Run the service beside a scenario, which has to end it; return what was written."""

        async def run_both() -> None:
            acting = asyncio.create_task(scenario())
            await asyncio.wait_for(Service(console).run(), LIMIT)
            await acting

        with self._output.open("wb") as file:
            console = Console(file.fileno())
            try:
                asyncio.run(run_both())
            finally:
                console.close()
        return self.output

    async def until_said(self, words: str) -> None:
        while words not in self.output:
            await asyncio.sleep(0.01)

    async def stop_when_ready(self) -> None:
        await self.until_said("stops everything")
        os.kill(os.getpid(), signal.SIGTERM)

    def _list_programs(self, servers, *, listener: int) -> list[Program]:
        self.servers = servers
        return self.programs


@pytest.fixture
def stage(tmp_path, settings, monkeypatch):
    return Stage(tmp_path, settings, monkeypatch)


def test_it_tells_its_processes_and_other_terminals_where_its_servers_are(stage):
    published = []

    async def scenario():
        await stage.until_said("stops everything")
        published.append(stage.settings.RUN_FILE.read_text())
        await stage.stop_when_ready()

    stage.run(scenario)
    assert sorted(stage.servers) == ["QRS_CERT_DIR", "QRS_URL", "REDIS_URL"]
    assert published == ["".join(f"{name}={value}\n" for name, value in stage.servers.items())]
    assert not stage.settings.RUN_FILE.exists()


def test_given_servers_are_left_alone(stage, redis_server, monkeypatch):
    stage.settings.REDIS_IS_GIVEN = stage.settings.QRS_IS_GIVEN = True
    monkeypatch.setattr(module, "describe_qrs", lambda: "the real one")
    output = stage.run(stage.stop_when_ready)
    assert stage.servers == {}
    assert "Qlik Sense  the real one" in output
    assert not (stage.settings.BUTLER_DATA_DIR / "redis").exists()


def test_a_given_redis_that_is_down_ends_the_start(stage):
    stage.settings.REDIS_IS_GIVEN = True
    stage.settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(StartError, match="Redis does not answer"):
        stage.run(lambda: asyncio.sleep(0))


def test_what_was_started_is_stopped_when_the_start_fails(stage, monkeypatch):
    def fail() -> None:
        raise StartError("no database")

    monkeypatch.setattr(module, "prepare_service", fail)
    with pytest.raises(StartError, match="no database"):
        stage.run(lambda: asyncio.sleep(0))
    assert "ready" not in stage.output
    # Whoever was left would hold the claim
    with module.DataFolder(stage.settings.BUTLER_DATA_DIR, run_file=stage.settings.RUN_FILE).claim(address=""):
        pass


def test_whoever_is_waited_for_is_named(stage, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    stage.ready["beat"] = lambda: "still waiting for beat" in stage.output
    assert "still waiting for web" not in stage.run(stage.stop_when_ready)


def test_a_signal_while_it_starts_stops_it(stage):
    stage.ready["web"] = lambda: False
    stage.programs = [small("web", "echo up; sleep 1000")]

    async def scenario():
        await stage.until_said("web       | up")
        os.kill(os.getpid(), signal.SIGINT)

    output = stage.run(scenario)
    assert output.endswith("butler    | stopping\n")
    assert "is ready" not in output


def test_a_second_signal_kills(stage, monkeypatch):
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    stage.programs = [small("web", stubborn), small("worker", stubborn)]
    monkeypatch.setattr(module, "STOP_STAGES", (module.Stage(names=("web", "worker"), seconds=1000),))

    async def scenario():
        await stage.stop_when_ready()
        await stage.until_said("butler    | stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    stage.run(scenario)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_signal_that_a_script_has_ignored_stops_it_all_the_same(stage, number):
    before = signal.signal(number, signal.SIG_IGN)
    stage.programs = [small("web", "grep SigIgn /proc/self/status; sleep 1000")]

    async def scenario():
        await stage.until_said("stops everything")
        await stage.until_said("SigIgn")
        os.kill(os.getpid(), number)

    try:
        output = stage.run(scenario)
    finally:
        signal.signal(number, before)
    assert output.endswith("butler    | stopping\n")
    # Nor do its programs ignore it
    ignored = int(re.search(r"SigIgn:\s+(\w+)", output)[1], 16)
    assert not ignored & 1 << number - 1


def test_a_hangup_that_nohup_keeps_away_stays_ignored(stage):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def scenario():
        await stage.until_said("stops everything")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        assert "stopping" not in stage.output
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        stage.run(scenario)
    finally:
        signal.signal(signal.SIGHUP, before)
