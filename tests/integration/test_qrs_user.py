"""The user that calls are made as, from our settings to what QRS understands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import RefusedError
from qlik.settings import QrsSettings
from qlik.simulator.server import Simulator, SimulatorSettings
from tests.integration.plain_qrs import SALES, PlainQrs


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


USERS = [
    r"COMPANY\jörg",
    r"FÖRETAG\åsa",
    r"COMPANY\a=b",
    r"COMPANY\a%41b",
    r"COMPANY\a%b",
    r"COMPANY\a b",
    r"COMPANY\a+b@example.com",
    r"COMPANY\日本",
    r"COMPANY\a\b",
    r'COM,PANY\"a"',
]


@pytest.mark.parametrize("user", USERS)
def test_qrs_reads_the_user_that_was_set(certificate_folder: Path, user: str) -> None:
    with Simulator(SimulatorSettings(certificates=certificate_folder, users=[user])) as simulator:
        settings = QrsSettings(url=simulator.url, certificate_folder=certificate_folder, user=user)
        with QrsClient(settings) as client:
            assert client.start_task_synchronously(UUID(SALES))
        other = next(other for other in USERS if other != user)
        with QrsClient(replace(settings, user=other)) as client, pytest.raises(RefusedError, match="Forbidden"):
            client.start_task_synchronously(UUID(SALES))


@pytest.mark.parametrize("suffix", ["", "/", "/qrs", "/qrs/", "/QRS//"])
def test_an_address_with_the_path_of_qrs_leads_there_too(simulator: Simulator, suffix: str) -> None:
    settings = QrsSettings(url=f"{simulator.url}{suffix}", certificate_folder=simulator.certificates)
    with QrsClient(settings) as client:
        client.about()


@pytest.mark.parametrize("header", ["UserDirectory=COMPANY;UserId=j\xf6rg", "UserDirectory=COMPANY;UserId=a=b"])
def test_the_simulator_takes_an_encoded_user_only(qrs: PlainQrs, header: str) -> None:
    answer = qrs.get("about", headers={"X-Qlik-User": header.encode("latin-1")})
    assert answer.status_code == 401
