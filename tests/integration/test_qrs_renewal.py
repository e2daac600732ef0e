"""Certificate files that change while the service runs."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import NotStartedError
from qlik.settings import QrsSettings
from qlik.simulator.certificates import ensure_certificates
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.server import Simulator, SimulatorSettings
from tests.conftest import free_port
from tests.integration.plain_qrs import SALES
from tests.waiting import wait_for

TASK = UUID(SALES)
FILES = ("client.pem", "client_key.pem", "root.pem")


@pytest.fixture
def folder(certificate_folder: Path, simulator: Simulator, tmp_path: Path) -> Path:
    """Return a copy of the certificates, to be replaced."""
    return Path(shutil.copytree(certificate_folder, tmp_path / "export"))


@pytest.fixture
def settings(simulator: Simulator, folder: Path) -> QrsSettings:
    return QrsSettings(url=simulator.url, certificate_folder=folder, look_seconds=0.0)


def replace_files(folder: Path, source: Path) -> None:
    for name in FILES:
        shutil.copy(source / name, folder / name)


def test_a_site_with_new_certificates_is_called_without_a_restart(
    settings: QrsSettings, folder: Path, certificate_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port, renewed = free_port(), tmp_path / "renewed"
    ensure_certificates(renewed)
    with QrsClient(replace(settings, url=f"https://127.0.0.1:{port}")) as client:
        with Simulator(SimulatorSettings(certificates=certificate_folder, port=port)):
            client.start_task(TASK)
        with Simulator(SimulatorSettings(certificates=renewed, port=port)) as second:
            with pytest.raises(NotStartedError, match=r"Check that root\.pem comes from this site"):
                client.start_task(TASK)
            replace_files(folder, renewed)
            client.start_task(TASK)
            assert len(second.entries()) == 1
    assert f"The certificate files for QRS at https://127.0.0.1:{port} have changed and were read again." in caplog.text


def test_files_that_stay_the_same_keep_the_connection(settings: QrsSettings, simulator: Simulator) -> None:
    with QrsClient(settings) as client:
        for _ in range(20):
            client.start_task(TASK)
    assert simulator.count_connections() == 1


def test_new_files_get_new_connections_and_the_old_ones_are_hung_up(
    settings: QrsSettings, simulator: Simulator, folder: Path
) -> None:
    def count_open() -> int:
        return sum(thread.name == f"connection to {simulator.url}" for thread in threading.enumerate())

    with QrsClient(settings) as client:
        client.start_task(TASK)
        (folder / "client.pem").touch()
        client.start_task(TASK)
        assert simulator.count_connections() == 2
        wait_for(lambda: count_open() == 1, seconds=5)


def test_calls_on_their_way_end_well(settings: QrsSettings, simulator: Simulator, folder: Path) -> None:
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=500, count=4))
    # Two of the calls wait for a connection of the old pool
    with QrsClient(replace(settings, pool_size=2)) as client, ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(client.start_task_synchronously, TASK) for _ in range(4)]
        wait_for(lambda: len(simulator.entries()) == 2, seconds=5)
        (folder / "client.pem").touch()
        client.start_task(TASK)
        assert len({call.result(timeout=10) for call in calls}) == 4


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_half_written_are_not_used(
    settings: QrsSettings, simulator: Simulator, folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / name).read_bytes()
    with QrsClient(settings) as client:
        client.start_task(TASK)
        (folder / name).write_bytes(whole[:100])
        for _ in range(3):
            client.start_task(TASK)
        assert simulator.count_connections() == 1
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert warning.startswith("The certificate files have changed, but those read before stay in use: ")
        assert str(folder / name) in warning
        (folder / name).write_bytes(whole)
        client.start_task(TASK)
    assert simulator.count_connections() == 2


def test_files_that_are_gone_are_a_change_too(settings: QrsSettings, simulator: Simulator, folder: Path) -> None:
    with QrsClient(settings) as client:
        client.start_task(TASK)
        (folder / "root.pem").unlink()
        client.start_task(TASK)
    assert simulator.count_connections() == 1


def test_it_looks_no_more_often_than_told(settings: QrsSettings, simulator: Simulator, folder: Path) -> None:
    with QrsClient(replace(settings, look_seconds=0.5)) as client:
        client.start_task(TASK)
        (folder / "client.pem").touch()
        client.start_task(TASK)
        assert simulator.count_connections() == 1
        time.sleep(0.6)
        client.start_task(TASK)
        assert simulator.count_connections() == 2
