"""A call ends in time whatever the server does, and connections are kept between calls."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier, Thread
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import NotStartedError, OutcomeUnknownError, QrsError
from qlik.settings import QrsSettings
from qlik.simulator.certificates import make_server_context
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.server import Simulator
from tests.integration.plain_qrs import SALES

TASK = UUID(SALES)
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"


@pytest.fixture
def settings(simulator: Simulator) -> QrsSettings:
    return QrsSettings(
        url=simulator.url,
        certificate_folder=simulator.certificates,
        connect_timeout_seconds=2.0,
        read_timeout_seconds=2.0,
        total_timeout_seconds=0.6,
    )


@contextmanager
def dripping_server(settings: QrsSettings, *, whole: bytes = b"", tls: bool = True) -> Iterator[str]:
    """Run a server that answers with `whole` at once and then with a byte each 50 ms, for 10 s."""
    context = make_server_context(settings.certificate_folder)

    def drip() -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) if tls else connection as stream:
                stream.sendall(whole)
                for _ in range(200):
                    stream.sendall(b"X")
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=drip)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.getsockname()[1]}"
        finally:
            # Wakes the thread where it waits for a connection, which a close would not
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def time_of_failure(settings: QrsSettings, kind: type[QrsError]) -> float:
    """Start a task in vain, which must end with exactly this class of error, and return how long it took."""
    with QrsClient(settings) as client:
        began = time.monotonic()
        with pytest.raises(QrsError) as caught:
            client.start_task_synchronously(TASK)
        seconds = time.monotonic() - began
    assert type(caught.value) is kind, caught.value
    return seconds


@pytest.mark.parametrize("whole", [b"", HEAD], ids=["head", "body"])
def test_an_answer_that_comes_byte_by_byte_ends_in_time(settings: QrsSettings, whole: bytes) -> None:
    with dripping_server(settings, whole=whole) as url:
        assert 0.5 < time_of_failure(replace(settings, url=url), OutcomeUnknownError) < 1.9


def test_a_silence_ends_with_the_time_for_the_call(settings: QrsSettings, simulator: Simulator) -> None:
    """Although a silence alone may be longer."""
    simulator.add_fault(Fault(kind=FaultKind.HANG, delay_ms=5_000))
    assert 0.5 < time_of_failure(settings, OutcomeUnknownError) < 1.9


def test_a_handshake_that_comes_byte_by_byte_ends_in_time(settings: QrsSettings) -> None:
    # The head of a TLS record of 16 KB
    with dripping_server(settings, whole=b"\x16\x03\x03\x40\x00", tls=False) as url:
        impatient = replace(settings, url=url, connect_timeout_seconds=0.6)
        assert 0.5 < time_of_failure(impatient, NotStartedError) < 1.9


def test_the_time_for_a_call_begins_anew_with_each_on_a_kept_connection(
    settings: QrsSettings, simulator: Simulator
) -> None:
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=250))
    with QrsClient(settings) as client:
        for _ in range(4):
            client.start_task(TASK)
    assert simulator.count_connections() == 1


def test_a_connection_whose_time_was_short_is_none_the_worse_for_it(
    settings: QrsSettings, simulator: Simulator
) -> None:
    """What is left of the time for a call becomes the socket's time-out, which must not stay."""
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=400, count=2))
    with QrsClient(replace(settings, read_timeout_seconds=0.5)) as client:
        client.start_task(TASK)
        client.start_task(TASK)
    assert simulator.count_connections() == 1


def test_a_call_whose_time_is_over_once_connected_is_surely_not_started(
    settings: QrsSettings, simulator: Simulator
) -> None:
    time_of_failure(replace(settings, total_timeout_seconds=0.000_001), NotStartedError)
    assert simulator.entries() == []


@pytest.mark.parametrize("count", [1, 8])
def test_each_of_the_threads_needs_one_connection_for_all_its_calls(
    settings: QrsSettings, simulator: Simulator, count: int
) -> None:
    """Counted, not timed: all threads are in a call at the same time, over and over."""
    together = Barrier(count)

    def call() -> None:
        for _ in range(20):
            together.wait(timeout=10)
            client.start_task(TASK)

    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=10))
    with QrsClient(replace(settings, pool_size=8, total_timeout_seconds=5.0)) as client, ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(call) for _ in range(count)]:
            future.result()
    assert len(simulator.entries()) == 20 * count
    assert simulator.count_connections() == count
