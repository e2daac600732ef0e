"""Fixtures of the chaos tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.terms import Terms
from tests.chaos.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Certificates and an empty database, made once."""
    made = Workshop(Path(tmp_path_factory.mktemp("chaos")))
    yield made
    made.close()


@pytest.fixture
def terms(workshop: Workshop) -> Terms:
    """The terms of a short run; pytest-randomly's seed decides about the moments."""
    return Terms(workshop=workshop, seed=random.randrange(10_000), is_short=True)
