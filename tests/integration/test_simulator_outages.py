"""The simulator while it plays a QRS that is down or has just been restarted, seen with plain requests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from qlik.simulator.server import Simulator
from tests.integration.plain_qrs import SALES, ControlPort, PlainQrs
from tests.waiting import wait_for


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


@pytest.fixture
def controls(simulator: Simulator) -> ControlPort:
    return ControlPort(simulator.control_url)


def answers(qrs: PlainQrs) -> bool:
    try:
        return qrs.get("about").status_code == 200
    except requests.ConnectionError:
        return False


def test_nobody_can_connect_until_the_outage_is_ended(qrs: PlainQrs, controls: ControlPort) -> None:
    assert controls.call("GET", "/outage") == {"is_down": False, "remaining_seconds": None}
    assert controls.call("POST", "/outage") == {"is_down": True, "remaining_seconds": None}
    with pytest.raises(requests.ConnectionError, match="Connection refused"):
        qrs.get("about")
    assert controls.call("DELETE", "/outage") == {"is_down": False, "remaining_seconds": None}
    assert answers(qrs)
    assert controls.call("DELETE", "/outage") == {"is_down": False, "remaining_seconds": None}


def test_an_outage_hangs_up_on_everyone(controls: ControlPort, simulator: Simulator) -> None:
    host, port = simulator.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as silent:
        wait_for(lambda: simulator.count_connections() == 1, seconds=5)
        controls.call("POST", "/outage")
        assert silent.recv(1) == b""


def test_an_outage_hangs_up_on_a_call_that_is_waited_for(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "hang", "delay_ms": 60_000})
    timer = threading.Timer(0.2, lambda: controls.call("POST", "/outage"))
    timer.start()
    with pytest.raises(requests.ConnectionError, match=r"Connection aborted|RemoteDisconnected|EOF"):
        qrs.get("about")
    timer.join()


def test_an_outage_ends_by_itself(qrs: PlainQrs, controls: ControlPort) -> None:
    began = time.monotonic()
    assert 0.3 < controls.call("POST", "/outage", json={"seconds": 0.4})["remaining_seconds"] <= 0.4
    assert not answers(qrs)
    wait_for(lambda: answers(qrs), seconds=5)
    assert time.monotonic() - began >= 0.4
    assert controls.call("GET", "/outage") == {"is_down": False, "remaining_seconds": None}


def test_an_outage_can_be_made_longer_while_it_lasts(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/outage", json={"seconds": 0.2})
    controls.call("POST", "/outage", json={"seconds": 60})
    time.sleep(0.4)
    assert not answers(qrs)


def test_an_outage_waits_for_a_port_that_somebody_took(
    simulator: Simulator, qrs: PlainQrs, controls: ControlPort
) -> None:
    host, port = simulator.url.removeprefix("https://").split(":")
    controls.call("POST", "/outage", json={"seconds": 0.2})
    with socket.create_server((host, int(port))):
        assert "cannot be listened on" in controls.refuse("DELETE", "/outage")
        controls.call("POST", "/outage", json={"seconds": 0})
        time.sleep(0.2)
        assert controls.call("GET", "/outage")["is_down"]
    wait_for(lambda: answers(qrs), seconds=5)


@pytest.mark.parametrize(
    ("keeps", "sessions", "statuses"), [("sessions", 1, [1]), ("results", 0, [12]), ("nothing", 0, [])]
)
def test_a_restart_keeps_what_it_is_told(
    qrs: PlainQrs, controls: ControlPort, keeps: str, sessions: int, statuses: list[int]
) -> None:
    session = qrs.begin(SALES)
    controls.call("POST", "/outage", json={"seconds": 0, "keeps": keeps})
    wait_for(lambda: answers(qrs), seconds=5)
    assert qrs.get(f"executionsession/{session}").status_code == (200 if sessions else 404)
    assert len(qrs.get("executionsession/full").json()) == sessions
    results = qrs.get("executionresult/full", params={"filter": f"executionID eq {session}"}).json()
    assert [result["status"] for result in results] == statuses
    assert len(qrs.get("task/full").json()) == 6


def test_connections_are_counted_through_an_outage(qrs: PlainQrs, controls: ControlPort) -> None:
    qrs.get("about")
    controls.call("POST", "/outage")
    controls.call("DELETE", "/outage")
    qrs.get("about")
    assert controls.call("GET", "/health")["connections"] == 2


def test_a_simulator_may_end_while_it_is_down(simulator: Simulator, controls: ControlPort) -> None:
    controls.call("POST", "/outage", json={"seconds": 0.1})


@pytest.mark.parametrize("body", [{"seconds": -1}, {"seconds": "soon"}, {"keeps": "tasks"}, {"name": "x"}, [{}, {}]])
def test_an_outage_that_is_none_is_refused(qrs: PlainQrs, controls: ControlPort, body: object) -> None:
    assert "outage" in controls.refuse("POST", "/outage", json=body)
    assert answers(qrs)
