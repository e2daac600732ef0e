"""Our client's calls, made to the simulator over TLS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import RefusedError
from qlik.settings import QrsSettings
from qlik.simulator.api import Behaviour
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.server import Simulator, SimulatorSettings
from tests.integration.plain_qrs import DISABLED, SALES, UNKNOWN
from tests.waiting import wait_for

TASK = UUID(SALES)


@pytest.fixture
def settings(simulator: Simulator) -> QrsSettings:
    return QrsSettings(url=simulator.url, certificate_folder=simulator.certificates)


@pytest.fixture
def client(settings: QrsSettings) -> Iterator[QrsClient]:
    with QrsClient(settings) as client:
        yield client


def test_about_gives_the_version(client: QrsClient) -> None:
    about = client.about()
    assert about.build_version == "99.1.0.0"
    assert about.node_type == 1


def test_a_synchronous_start_gives_the_session(client: QrsClient, simulator: Simulator) -> None:
    session_id = client.start_task_synchronously(TASK)
    (entry,) = simulator.entries()
    assert (entry.call, entry.task_id, entry.session_id) == ("start synchronous", TASK, session_id)


def test_a_plain_start_gives_nothing(client: QrsClient, simulator: Simulator) -> None:
    client.start_task(TASK)
    (entry,) = simulator.entries()
    assert (entry.call, entry.task_id, entry.outcome) == ("start", TASK, "started")


@pytest.mark.parametrize("status", [200, 201])
def test_both_statuses_of_a_synchronous_start_are_good(certificate_folder: Path, status: int) -> None:
    settings = SimulatorSettings(certificates=certificate_folder, behaviour=Behaviour(synchronous_status=status))
    with Simulator(settings) as simulator, QrsClient(make_settings(simulator)) as client:
        assert client.start_task_synchronously(TASK) == simulator.entries()[0].session_id


@pytest.mark.parametrize("status", [400, 404])
def test_both_statuses_of_an_unknown_task_are_a_refusal(certificate_folder: Path, status: int) -> None:
    settings = SimulatorSettings(certificates=certificate_folder, behaviour=Behaviour(unknown_task_status=status))
    with Simulator(settings) as simulator, QrsClient(make_settings(simulator)) as client:
        with pytest.raises(RefusedError, match="Check that the task exists") as caught:
            client.start_task_synchronously(UUID(UNKNOWN))
        assert (caught.value.status, caught.value.text) == (status, "The task does not exist.")


def test_a_task_that_does_not_begin_is_refused_by_name(client: QrsClient) -> None:
    with pytest.raises(
        RefusedError, match=f"did not start task {DISABLED}: the task is disabled, its app is"
    ) as caught:
        client.start_task_synchronously(UUID(DISABLED))
    assert caught.value.status == 201


def test_the_address_may_end_in_a_slash(settings: QrsSettings) -> None:
    with QrsClient(replace(settings, url=f"{settings.url}/")) as client:
        client.about()


# Connections


def test_twenty_calls_use_one_connection(client: QrsClient, simulator: Simulator) -> None:
    for _ in range(20):
        client.start_task_synchronously(TASK)
    assert simulator.count_connections() == 1


def test_refusals_keep_the_connection(client: QrsClient, simulator: Simulator) -> None:
    for _ in range(5):
        with pytest.raises(RefusedError):
            client.start_task(UUID(UNKNOWN))
    assert simulator.count_connections() == 1


def test_sixteen_threads_share_one_client(client: QrsClient, simulator: Simulator) -> None:
    with ThreadPoolExecutor(16) as threads:
        sessions = list(threads.map(lambda _: client.start_task_synchronously(TASK), range(320)))
    assert len(set(sessions)) == 320
    assert {entry.session_id for entry in simulator.entries()} == set(sessions)
    assert simulator.count_connections() <= 16


def test_a_full_pool_makes_further_threads_wait(settings: QrsSettings, simulator: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=20))
    with QrsClient(replace(settings, pool_size=2)) as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.start_task(TASK), range(16)))
    assert simulator.count_connections() == 2


def test_a_connection_that_was_idle_for_too_long_is_replaced(settings: QrsSettings, simulator: Simulator) -> None:
    with QrsClient(replace(settings, idle_limit_seconds=0.0)) as client:
        for _ in range(3):
            client.start_task(TASK)
    assert simulator.count_connections() == 3


def test_a_restart_of_qrs_between_two_calls_goes_unnoticed(certificate_folder: Path) -> None:
    with Simulator(SimulatorSettings(certificates=certificate_folder)) as first:
        client = QrsClient(make_settings(first))
        client.start_task(TASK)
    port = int(first.url.rpartition(":")[2])
    with Simulator(SimulatorSettings(certificates=certificate_folder, port=port)) as second, client:
        client.start_task(TASK)
        assert len(second.entries()) == 1


def test_closing_the_client_hangs_up(settings: QrsSettings, simulator: Simulator) -> None:
    def count_open() -> int:
        name = f"connection to {simulator.url}"
        return sum(thread.name == name for thread in threading.enumerate())

    with QrsClient(settings) as client:
        client.about()
        assert count_open() == 1
    wait_for(lambda: count_open() == 0, seconds=5)


# The environment has no say


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_another_bundle_of_authorities_in_the_environment_has_no_effect(
    client: QrsClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "company-bundle.pem"))
    client.about()


def test_proxies_in_the_environment_have_no_effect(client: QrsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client.about()


def make_settings(simulator: Simulator) -> QrsSettings:
    return QrsSettings(url=simulator.url, certificate_folder=simulator.certificates)
