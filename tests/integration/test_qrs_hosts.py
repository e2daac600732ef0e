"""Several hosts of one site: which one is called, and when the next is."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import NotStartedError, OutcomeUnknownError, RefusedError
from qlik.settings import QrsSettings
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.server import Simulator, SimulatorSettings
from tests.conftest import free_port
from tests.integration.plain_qrs import SALES, UNKNOWN

TASK = UUID(SALES)


@pytest.fixture
def second(certificate_folder: Path) -> Iterator[Simulator]:
    """The node that may take the place of the central one."""
    with Simulator(SimulatorSettings(certificates=certificate_folder)) as running:
        yield running


@pytest.fixture
def settings(simulator: Simulator, second: Simulator) -> QrsSettings:
    return QrsSettings(
        url=f"{simulator.url}, {second.url}/",
        certificate_folder=simulator.certificates,
        connect_timeout_seconds=0.5,
        read_timeout_seconds=0.5,
    )


@contextmanager
def dead_host() -> Iterator[tuple[str, list[float]]]:
    """Take connections and hang up before the handshake; yields the address, and when that happened."""
    times: list[float] = []

    def hang_up() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return
            times.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=hang_up)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.getsockname()[1]}", times
        finally:
            # Wakes the thread, which a close would not
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def count_starts(*simulators: Simulator) -> list[int]:
    return [sum(entry.outcome == "started" for entry in simulator.entries()) for simulator in simulators]


def test_the_first_host_is_called_while_it_answers(
    settings: QrsSettings, simulator: Simulator, second: Simulator
) -> None:
    with QrsClient(settings) as client:
        for _ in range(3):
            client.start_task(TASK)
    assert count_starts(simulator, second) == [3, 0]
    assert second.count_connections() == 0


def test_the_next_host_is_called_when_the_first_surely_got_nothing(settings: QrsSettings, second: Simulator) -> None:
    with QrsClient(replace(settings, url=f"https://127.0.0.1:{free_port()},{second.url}")) as client:
        client.start_task_synchronously(TASK)
    assert count_starts(second) == [1]


def test_503_lets_the_next_host_be_called(settings: QrsSettings, simulator: Simulator, second: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    with QrsClient(settings) as client:
        client.start_task(TASK)
    assert count_starts(simulator, second) == [0, 1]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.RESET),
        Fault(kind=FaultKind.HANG, delay_ms=2_000),
        Fault(kind=FaultKind.REFUSE, status=500),
        Fault(kind=FaultKind.HTML),
    ],
    ids=lambda fault: fault.kind,
)
def test_the_next_host_is_not_called_when_the_first_may_have_got_it(
    settings: QrsSettings, simulator: Simulator, second: Simulator, fault: Fault
) -> None:
    simulator.add_fault(fault)
    with QrsClient(settings) as client, pytest.raises(OutcomeUnknownError):
        client.start_task_synchronously(TASK)
    assert second.entries() == []


def test_the_next_host_is_not_called_after_a_refusal(settings: QrsSettings, second: Simulator) -> None:
    with QrsClient(settings) as client, pytest.raises(RefusedError):
        client.start_task(UUID(UNKNOWN))
    assert second.entries() == []


def test_when_no_host_answers_the_error_names_each(settings: QrsSettings) -> None:
    ports = [free_port(), free_port()]
    url = ",".join(f"https://127.0.0.1:{port}" for port in ports)
    with QrsClient(replace(settings, url=url)) as client, pytest.raises(NotStartedError) as caught:
        client.start_task(TASK)
    assert all(f"No connection to 127.0.0.1:{port}: " in str(caught.value) for port in ports)


def test_a_dead_host_is_not_tried_first_by_every_call(
    settings: QrsSettings, second: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with dead_host() as (url, attempts), QrsClient(replace(settings, url=f"{url},{second.url}")) as client:
        for _ in range(5):
            client.start_task(TASK)
        assert len(attempts) == 1
    assert count_starts(second) == [5]
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == f"QRS is called at {second.url} now, no longer at {url}"


def test_a_refusal_is_an_answer_too(settings: QrsSettings, second: Simulator) -> None:
    with dead_host() as (url, attempts), QrsClient(replace(settings, url=f"{url},{second.url}")) as client:
        for _ in range(3):
            with pytest.raises(RefusedError):
                client.start_task(UUID(UNKNOWN))
        assert len(attempts) == 1


def test_a_host_that_goes_away_later_gives_way_too(
    settings: QrsSettings, simulator: Simulator, second: Simulator
) -> None:
    with QrsClient(settings) as client:
        client.start_task(TASK)
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
        client.start_task(TASK)
        client.start_task(TASK)
        second.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
        client.start_task(TASK)
    assert count_starts(simulator, second) == [2, 2]


def test_calls_come_back_to_the_first_host(settings: QrsSettings, simulator: Simulator, second: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    with QrsClient(replace(settings, return_seconds=0.2)) as client:
        client.start_task(TASK)
        time.sleep(0.25)
        client.start_task(TASK)
        client.start_task(TASK)
    assert count_starts(simulator, second) == [2, 1]


def test_of_many_calls_one_looks_whether_the_first_host_is_back(settings: QrsSettings, second: Simulator) -> None:
    with (
        dead_host() as (url, attempts),
        QrsClient(replace(settings, url=f"{url},{second.url}", return_seconds=1.0)) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        client.start_task(TASK)
        time.sleep(1.1)
        list(threads.map(lambda _: client.start_task(TASK), range(8)))
        assert len(attempts) == 2
    assert count_starts(second) == [9]


def test_each_host_keeps_its_connections(settings: QrsSettings, simulator: Simulator, second: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    with QrsClient(replace(settings, return_seconds=0.0)) as client:
        for _ in range(5):
            client.start_task(TASK)
    assert (simulator.count_connections(), second.count_connections()) == (1, 1)
