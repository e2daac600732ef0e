"""Fixtures of the integration tests: a simulated Sense site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from qlik.simulator.certificates import ensure_certificates
from qlik.simulator.server import Simulator, SimulatorSettings
from schedules import qrs, runs, services
from schedules.models import Run
from schedules.qrs import qrs_client
from tests.conftest import ORIGIN


@pytest.fixture(scope="session")
def certificate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder whose certificates the simulators of this session share."""
    folder = tmp_path_factory.mktemp("certificates")
    ensure_certificates(folder)
    return folder


@pytest.fixture
def simulator(certificate_folder: Path) -> Iterator[Simulator]:
    """A simulator with the demo tasks, on free ports."""
    with Simulator(SimulatorSettings(certificates=certificate_folder)) as running:
        yield running


@pytest.fixture
def qrs_service(simulator: Simulator, settings: object) -> Iterator[Simulator]:
    """Point the service at the simulator, with a client of its own, and return the simulator."""
    settings.QRS_URL = simulator.url
    settings.QRS_CERT_DIR = simulator.certificates
    settings.QRS_TIMEOUT = (1.0, 1.0)
    qrs._client.cache_clear()
    yield simulator
    qrs_client().close()
    qrs._client.cache_clear()


@pytest.fixture
def run_now(make_schedule):
    """Return a function that plans a run of a schedule with the given values, as beat leaves it to the workers."""

    def plan(**values: object) -> Run:
        (run,) = services.run_now([make_schedule(**values).name], origin=ORIGIN)
        runs.take_planned(most=1, now=timezone.now())
        return run

    return plan
