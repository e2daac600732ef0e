"""`make run`'s second half, `manage.py up`, as a real process: ready, watched, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
import requests

from tests.acceptance.service import STOP_SECONDS, Service
from tests.conftest import TASK_ID
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.timeout(180),
]

EVERY_SECOND = json.dumps(
    {
        "name": "Every second",
        "cronSchedule": "* * * * * *",
        "timezone": "Europe/Stockholm",
        "qlikSenseTaskId": TASK_ID,
        "startupState": "started",
    }
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service with a task to start each second; the tests that share it leave it running."""
    with Service(tmp_path_factory.mktemp("shared") / "data folder") as running:
        assert running.call("POST", "/v4/schedules", EVERY_SECOND).status_code == 201
        running.wait_for(lambda: starts(running) > 0, seconds=10)
        yield running


def starts(service: Service) -> int:
    """Return how many starts the simulator has been asked for."""
    return sum(bool(entry["session_id"]) for entry in service.simulator("/journal")["entries"])


def test_it_is_ready_within_ten_seconds_and_says_where_things_are(service):
    seconds = float(re.search(r"ready after ([0-9.]+) s", service.output)[1])
    assert seconds < 10
    assert f"http://127.0.0.1:{service.port}/v4/schedules" in service.output
    assert f"http://127.0.0.1:{service.port}/admin/" in service.output
    assert str(service.data_folder) in service.output
    assert "python3 manage.py schedules import docs/examples/schedules.yaml" in service.output


def test_its_text_fits_eighty_columns_and_has_no_colours_outside_a_terminal(service):
    text = service.output.split("Butler is ready")[1].split("stops everything.")[0]
    assert max(len(line) for line in text.splitlines() if str(service.data_folder) not in line) <= 80
    assert "\x1b" not in service.output


def test_the_login_that_it_prints_is_valid(service):
    user, password = re.search(r"Login +(\S+) / (\S+)", service.output).groups()
    check = (
        f"from django.contrib.auth import authenticate; print(authenticate(username={user!r}, password={password!r}))"
    )
    assert service.manage("shell", "-v0", "-c", check).stdout == f"{user}\n"
    assert stat.S_IMODE((service.data_folder / "admin-password").stat().st_mode) == 0o600
    assert stat.S_IMODE(service.data_folder.stat().st_mode) == 0o700


def test_commands_in_a_second_terminal_find_its_servers(service):
    imported = service.manage("schedules", "import", "docs/examples/schedules.yaml")
    assert imported.returncode == 0, imported.stderr
    assert imported.stderr == ""
    assert service.call("GET", "/v4/schedules?id=task-1").status_code == 200
    check = "import redis; from django.conf import settings; redis.Redis.from_url(settings.REDIS_URL).ping()"
    assert service.manage("shell", "-v0", "-c", check).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_everything_in_five_seconds(tmp_path, number):
    with Service(tmp_path / "data") as service:
        assert service.call("POST", "/v4/schedules", EVERY_SECOND).status_code == 201
        service.wait_for(lambda: starts(service) > 0, seconds=10)
        code, seconds = service.stop(number)
        assert code == 0
        assert seconds < STOP_SECONDS
        assert service.processes() == {}
        assert not (service.data_folder / "run.env").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_signal_that_a_shell_has_ignored_in_the_background_stops_everything(tmp_path, number):
    service = Service(tmp_path / "data")
    try:
        service.start(ignored=[signal.SIGINT, signal.SIGQUIT])
        service.wait_until_ready()
        code, seconds = service.stop(number)
    finally:
        service.kill()
    assert (code, service.processes()) == (0, {})
    assert seconds < STOP_SECONDS


def test_an_ignored_signal_while_it_loads_ends_it_without_a_traceback(tmp_path):
    service = Service(tmp_path / "data")
    try:
        service.start(ignored=[signal.SIGINT])
        heeds = f"/proc/{service.process.pid}/status"
        service.wait_for(lambda: not ignores(heeds, signal.SIGINT), seconds=10)
        code, _ = service.stop(signal.SIGINT)
    finally:
        service.kill()
    assert (code, service.output) in [(130, ""), (0, "butler    | stopping")]


def ignores(status: str, number: signal.Signals) -> bool:
    """Return whether the process with this status ignores the signal."""
    mask = re.search(r"SigIgn:\s+(\w+)", Path(status).read_text())[1]
    return bool(int(mask, 16) & 1 << number - 1)


def test_a_stop_lets_the_worker_finish_the_call_in_hand(tmp_path):
    with Service(tmp_path / "data") as service:
        service.simulator("/faults", {"kind": "delay", "delay_ms": 1500})
        assert service.call("POST", "/v4/schedules", EVERY_SECOND).status_code == 201
        service.wait_for(lambda: starts(service) > 0, seconds=10)
        asked_for = starts(service)
        _, seconds = service.stop()
        assert seconds < STOP_SECONDS
    with closing(sqlite3.connect(tmp_path / "data" / "butler.sqlite3")) as database:
        states = Counter(state for (state,) in database.execute("SELECT state FROM schedules_run"))
    assert states["started"] + states["succeeded"] >= asked_for
    assert states["claimed"] == 0


def test_a_second_signal_kills_what_still_stops(tmp_path):
    with Service(tmp_path / "data") as service:
        os.kill(service.pid_of("worker"), signal.SIGSTOP)
        service.process.send_signal(signal.SIGINT)
        service.wait_for(lambda: service.has_said("stopping"), seconds=5)
        code, seconds = service.stop(signal.SIGINT)
        assert (code, service.processes()) == (0, {})
        assert seconds < 2


def test_a_process_that_does_not_stop_is_killed(tmp_path):
    with Service(tmp_path / "data") as service:
        os.kill(service.pid_of("worker"), signal.SIGSTOP)
        _, seconds = service.stop()
        assert service.has_said("worker did not stop in time and is killed")
        assert service.processes() == {}
        assert seconds < STOP_SECONDS


@pytest.mark.parametrize("name", ["web", "beat", "worker", "simulator", "redis"])
def test_a_program_that_is_killed_is_named_and_started_again(service, name):
    victim = service.pid_of(name)
    os.kill(victim, signal.SIGKILL)
    service.wait_for(lambda: service.has_said(f"{name} was ended by SIGKILL; it starts again in"), seconds=5)
    service.wait_for(lambda: service.pid_of(name) not in (None, victim), seconds=40)
    service.wait_for(service.answers, seconds=20)
    service.wait_for(lambda: is_starting_tasks(service), seconds=40)


def is_starting_tasks(service: Service) -> bool:
    """Return whether another start arrives at the simulator within two seconds."""
    try:
        before = starts(service)
        return wait_for(lambda: starts(service) > before, seconds=2)
    except (AssertionError, requests.RequestException):
        return False


def test_killing_the_supervisor_ends_all_its_processes_and_a_new_start_works(tmp_path):
    with Service(tmp_path / "data") as service:
        service.process.kill()
        service.wait_for_end(seconds=5)
        service.wait_for(lambda: service.processes() == {}, seconds=20)
        service.start()
        service.wait_until_ready()


def test_a_second_start_goes_on_with_what_the_first_one_kept(tmp_path):
    with Service(tmp_path / "data") as service:
        service.call("POST", "/v4/schedules", EVERY_SECOND)
        login = re.search(r"Login +(.*)", service.output)[1]
        files = [service.data_folder / name for name in ("secret-key", "admin-password", "ports.json")]
        kept = [file.read_text() for file in files]
        with redis.Redis(port=service.server_port("redis")) as client:
            client.set("kept", "yes")
        service.stop()
        service.start()
        service.wait_until_ready()
        assert [file.read_text() for file in files] == kept
        assert re.search(r"Login +(.*)", service.output)[1] == login
        with redis.Redis(port=service.server_port("redis")) as client:
            assert client.get("kept") == b"yes"
        service.wait_for(lambda: is_starting_tasks(service), seconds=10)


def test_two_copies_run_side_by_side(tmp_path):
    with Service(tmp_path / "one") as one, Service(tmp_path / "two") as two:
        one.call("POST", "/v4/schedules", EVERY_SECOND)
        one.wait_for(lambda: is_starting_tasks(one), seconds=10)
        assert two.call("GET", "/v4/schedules").json() == []
        assert starts(two) == 0
        one.stop()
        assert two.answers()


def test_a_second_service_on_the_same_data_folder_is_refused(service):
    other = Service(service.data_folder)
    code = other.fail()
    assert code == 1
    assert f"Butler runs already with the data folder {service.data_folder}" in other.output
    assert f"{service.url}, process {service.process.pid}" in other.output
    assert service.answers()


def test_a_port_in_use_is_named_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = Service(tmp_path / "data", BUTLER_PORT=str(port))
        assert service.fail() == 1
    assert f"cannot have port {port} of 127.0.0.1: another program listens there" in service.output
    assert f"BUTLER_PORT={port + 1} make run" in service.output
    assert not (tmp_path / "data/redis").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BUTLER_DIALECT": "5"}, "BUTLER_DIALECT is '5', but it must be one of 4, 16"),
        ({"BUTLER_HOST": "0.0.0.0"}, "(butler.E001) BUTLER_HOST is '0.0.0.0', but it must be a loopback address"),
        ({"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}, "Redis does not answer at redis://:***@127.0.0.1:1/0"),
        ({"DATABASE_URL": "postgres://butler:secret@127.0.0.1:1/x"}, "database postgres://butler:***@127.0.0.1:1/x"),
        ({"QRS_URL": "https://127.0.0.1:1", "QRS_CERT_DIR": "/nowhere"}, "/nowhere/client.pem cannot be read"),
        ({"BUTLER_DATA_DIR": "/dev/null/data"}, "/dev/null/data"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_ends_in_a_message_without_a_traceback(tmp_path, settings, words):
    service = Service(tmp_path / "data", **settings)
    assert service.fail() == 1
    assert words in service.output
    assert "Traceback" not in service.output
    assert "secret@" not in service.output


def test_a_qrs_that_is_down_does_not_keep_it_from_starting(tmp_path, certificate_folder):
    settings = {"QRS_URL": "https://127.0.0.1:1", "QRS_CERT_DIR": str(certificate_folder)}
    with Service(tmp_path / "data", **settings) as service:
        assert service.has_said("DOES NOT ANSWER")
        assert "simulator" not in service.processes().values()


def test_it_listens_on_the_loopback_address_of_ipv6_too(tmp_path):
    with Service(tmp_path / "data", BUTLER_HOST="::1") as service:
        assert requests.get(f"http://[::1]:{service.port}/v4/schedules", timeout=10).json() == []
