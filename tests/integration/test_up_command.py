"""`manage.py up` around the service, and the commands it is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from butler.errors import StartError
from butler.management.commands import up
from butler.processes.programs import python_environment, service_programs, simulator_program


@pytest.fixture
def service(monkeypatch, settings):
    """A stand-in for the service that ends at once, with the error in `outcome` where there is one."""
    settings.QRS_IS_GIVEN = False
    outcome: list[Exception | None] = [None]
    runs = []

    class StandIn:
        def __init__(self, console) -> None:
            self._console = console

        async def run(self) -> None:
            runs.append(self)
            self._console.say("running")
            if outcome[0]:
                raise outcome[0]

    monkeypatch.setattr(up, "Service", StandIn)
    StandIn.outcome, StandIn.runs = outcome, runs
    return StandIn


def test_it_runs_the_service_and_writes_what_that_says(service, capfd):
    call_command("up")
    assert capfd.readouterr().out == "butler    | running\n"


def test_what_keeps_the_service_from_starting_is_the_commands_error(service, capfd):
    service.outcome[0] = StartError("Port 8080 is taken.")
    with pytest.raises(CommandError, match=r"^Port 8080 is taken\.$"):
        call_command("up")
    assert capfd.readouterr().out == "butler    | running\n"


def test_it_does_not_start_with_certificates_that_cannot_work(service, settings):
    settings.QRS_IS_GIVEN = True
    settings.QRS_CERT_DIR = Path("/nowhere")
    with pytest.raises(CommandError, match=r"\(butler\.E002\) /nowhere/client\.pem cannot be read"):
        call_command("up")
    assert service.runs == []


def test_its_programs_are_those_of_the_ecosystem_by_this_python():
    web, beat, worker, second = programs = service_programs({}, listener=7)
    assert [program.name for program in programs] == ["web", "beat", "worker", "worker-2"]
    assert {program.command[0] for program in programs} == {sys.executable}
    assert " ".join(web.command[1:]) == "-m gunicorn --bind fd://7 butler.wsgi"
    assert " ".join(beat.command[1:]).endswith("-m celery --quiet --skip-checks -A butler beat --pidfile=")
    worker_command = "-A butler worker --without-mingle --without-gossip --hostname"
    assert f"{worker_command} butler@%h" in " ".join(worker.command)
    assert f"{worker_command} butler-2@%h" in " ".join(second.command)


def test_it_starts_as_many_workers_as_the_setting_says(settings):
    settings.BUTLER_WORKERS = 1
    assert [program.name for program in service_programs({}, listener=7)] == ["web", "beat", "worker"]


def test_the_simulator_gets_its_ports_and_its_folder():
    program = simulator_program(port=1, control_port=2, certificates=Path("/a folder"))
    expected = ("-m", "qlik.simulator", "--port", "1", "--control-port", "2", "--certificates", "/a folder")
    assert program.command[1:] == expected


def test_programs_get_the_settings_of_this_process_and_the_servers(monkeypatch):
    monkeypatch.setenv("BUTLER_DIALECT", "16")
    monkeypatch.setenv("REDIS_URL", "redis://stale")
    environment = python_environment({"REDIS_URL": "redis://fresh"})
    assert (environment["BUTLER_DIALECT"], environment["REDIS_URL"]) == ("16", "redis://fresh")


def test_programs_write_at_once_and_compile_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = python_environment({})
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in environment
