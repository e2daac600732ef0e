"""`python -m qlik.simulator`, as a process."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.integration.plain_qrs import SALES, UNKNOWN, PlainQrs
from tests.waiting import wait_for

READY = re.compile(
    r"QRS simulator ready: qrs=(https://\S+) controls=(http://\S+) certificates=(\S+)(?: proxy=(https://\S+))?\n"
)


def start(*options: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "qlik.simulator", "--port", "0", "--control-port", "0", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(*options: str | Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    with running_with_proxy(*options) as (process, url, control_url, _):
        yield process, url, control_url


@contextmanager
def running_with_proxy(*options: str | Path) -> Iterator[tuple[subprocess.Popen[str], str, str, str]]:
    with start(*options) as process:
        try:
            assert process.stdout
            ready = READY.fullmatch(process.stdout.readline())
            assert ready, process.stderr and process.stderr.read()
            yield process, ready[1], ready[2], ready[4]
        finally:
            process.kill()


def fail(*options: str | Path) -> str:
    """Start in vain; returns what it says."""
    with start(*options) as process:
        output, errors = process.communicate(timeout=20)
    assert process.returncode in {1, 2}
    assert output == ""
    assert "Traceback" not in errors
    return errors


def test_it_says_where_it_is_and_answers_there(certificate_folder: Path) -> None:
    with running("--certificates", certificate_folder) as (_, url, control_url):
        with PlainQrs(url, certificate_folder) as qrs:
            qrs.begin(SALES)
        assert requests.get(f"{control_url}/health", timeout=5).json()["sessions"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_a_second_although_clients_are_connected(
    certificate_folder: Path, number: signal.Signals
) -> None:
    with running("--certificates", certificate_folder) as (process, url, control_url):
        host, port = url.removeprefix("https://").split(":")
        hang = {"kind": "hang", "delay_ms": 60_000}
        requests.post(f"{control_url}/faults", json=hang, timeout=5)
        with PlainQrs(url, certificate_folder) as qrs, socket.create_connection((host, int(port))):
            with pytest.raises(requests.ReadTimeout):
                qrs.session.get(f"{url}/qrs/about", timeout=0.2)
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(timeout=5) == 0
            assert time.monotonic() - began < 1
        assert process.stderr
        assert process.stderr.read() == ""


def test_its_options_reach_it(certificate_folder: Path, tmp_path: Path) -> None:
    tasks, journal = tmp_path / "tasks.json", tmp_path / "journal.jsonl"
    tasks.write_text(json.dumps([{"id": SALES, "name": "One", "app": "One", "reload_seconds": 3600}]))
    options = ["--tasks", tasks, "--journal", journal, "--unknown-task", "400", "--synchronous-start", "200"]
    options += ["--running-task", "ignore", "--name", "localhost", "--journal-size", "10", "--speed", "7200"]
    with (
        running("--certificates", certificate_folder, *options) as (_, url, _),
        PlainQrs(url, certificate_folder) as qrs,
    ):
        assert qrs.post(f"task/{SALES}/start/synchronous").status_code == 200
        assert qrs.post(f"task/{UNKNOWN}/start").status_code == 400
        assert [task["name"] for task in qrs.get("task/full").json()] == ["One"]
        assert len(journal.read_text().splitlines()) == 3


def test_its_runs_that_are_over_go_to_a_file(certificate_folder: Path, tmp_path: Path) -> None:
    tasks, runs = tmp_path / "tasks.json", tmp_path / "runs.jsonl"
    task = {"id": SALES, "name": "One", "app": "One", "reload_seconds": 0, "fails_first": 1, "max_retries": 1}
    tasks.write_text(json.dumps(task))
    options = ["--tasks", tasks, "--runs", runs, "--slots", "1", "--speed", "1000"]
    with (
        running("--certificates", certificate_folder, *options) as (_, url, control_url),
        PlainQrs(url, certificate_folder) as qrs,
    ):
        session = qrs.begin(SALES)
        wait_for(lambda: qrs.get("executionsession/full").json() == [], seconds=5)
        requests.patch(f"{control_url}/tasks", json={"id": SALES, "reload_seconds": 3600}, timeout=5)
        lost = qrs.begin(SALES)
        requests.post(f"{control_url}/outage", json={"seconds": 0, "keeps": "nothing"}, timeout=5)
    over, forgotten = map(json.loads, runs.read_text().splitlines())
    assert (over["session_id"], over["task_id"], over["is_lost"]) == (session, SALES, False)
    assert [attempt["status"] for attempt in over["attempts"]] == [8, 7]
    assert over["over_at"] == over["attempts"][1]["stopped_at"]
    assert (forgotten["session_id"], forgotten["is_lost"]) == (lost, True)
    assert forgotten["attempts"] == []


def test_its_proxy_has_the_prefixes_and_users_it_is_told(certificate_folder: Path) -> None:
    options = ["--proxy-port", "0", "--jwt-prefix", "tokens", "--header-prefix", "trusted", "--header-name", "Who"]
    with running_with_proxy("--certificates", certificate_folder, *options, "--user", r"Lab\butler") as (*_, proxy_url):
        for prefix, status in (("trusted", 204), ("tokens", 401), ("hdr", 404), ("jwt", 404)):
            answer = requests.post(
                f"{proxy_url}/{prefix}/qrs/task/{SALES}/start?xrfkey=abcdefghijklmnop",
                headers={"X-Qlik-Xrfkey": "abcdefghijklmnop", "Who": r"LAB\Butler"},
                verify=str(certificate_folder / "root.pem"),
                timeout=5,
            )
            assert (answer.status_code, prefix) == (status, prefix)


@pytest.mark.parametrize("option", ["--port", "--control-port", "--proxy-port"])
def test_it_says_which_port_is_in_use(certificate_folder: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = fail("--certificates", certificate_folder, option, str(port))
    assert message == (
        f"The QRS simulator cannot start. Port {port} of 127.0.0.1 cannot be listened on (Address already in use):"
        " choose another one, or 0 for any that is free.\n"
    )


def test_it_says_what_is_wrong_with_an_option(certificate_folder: Path, tmp_path: Path) -> None:
    assert "invalid read_port value: '70000'" in fail("--certificates", certificate_folder, "--port", "70000")
    assert "--certificates" in fail()
    assert "No such file" in fail("--certificates", certificate_folder, "--tasks", tmp_path / "none.json")
    (tmp_path / "tasks.json").write_text("[")
    assert "The body is not JSON" in fail("--certificates", certificate_folder, "--tasks", tmp_path / "tasks.json")
    (tmp_path / "client.pem").touch()
    assert "name another folder with --certificates" in fail("--certificates", tmp_path)
