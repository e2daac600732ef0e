"""Fixtures of the integration tests: a simulated Sense site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qlik.simulator.server import Simulator, SimulatorSettings


@pytest.fixture(scope="session")
def certificate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder whose certificates the simulators of this session share."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def simulator(certificate_folder: Path) -> Iterator[Simulator]:
    """A simulator with the demo tasks, on free ports."""
    with Simulator(SimulatorSettings(certificates=certificate_folder)) as running:
        yield running
