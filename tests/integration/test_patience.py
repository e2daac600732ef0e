"""Steps that are made again while the database is away: at which errors, how long, and on which connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import repeat

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from schedules import patience
from schedules.models import QrsSite
from schedules.patience import insist

AWAY = [OperationalError, InterfaceError, InternalError]


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Let no time pass; return the pauses that were made."""
    made: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", made.append)
    return made


def failing(errors: Iterable[Exception]) -> Callable[[], str]:
    left = iter(errors)

    def step() -> str:
        if error := next(left, None):
            raise error
        return "done"

    return step


@pytest.mark.django_db
@pytest.mark.parametrize("kind", AWAY)
def test_a_database_that_is_away_is_tried_again_after_growing_pauses(kind, pauses, caplog):
    assert insist(failing([kind("gone")] * 8), what="it cannot be done") == "done"

    assert pauses == [0, 0.5, 1, 2, 4, 8, 8, 8]
    assert caplog.messages[0] == "it cannot be done, trying again in 0 s: gone"


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [DataError, IntegrityError, ProgrammingError, ValueError])
def test_what_time_does_not_mend_is_raised_at_once(kind, pauses):
    with pytest.raises(kind):
        insist(failing([kind("wrong")]), what="it")

    assert pauses == []


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "tries"), [(0, 2), (0.6, 3), (1.5, 4), (60, 12)])
def test_it_does_not_wait_beyond_its_time(monkeypatch, seconds, tries):
    clock, made = [1000.0], []

    def sleep(pause: float) -> None:
        clock[0] += pause

    def step() -> None:
        made.append(clock[0])
        raise OperationalError("gone")

    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience.time, "sleep", sleep)
    with pytest.raises(OperationalError):
        insist(step, what="it", seconds=seconds)

    assert len(made) == tries
    assert made[-1] - 1000 <= seconds


@pytest.mark.django_db(transaction=True)
def test_each_try_has_a_connection_of_its_own():
    connections = []

    def step() -> None:
        connection.ensure_connection()
        connections.append(connection.connection)
        if len(connections) < 3:
            raise OperationalError("cut")

    insist(step, what="it")

    assert len({id(one) for one in connections}) == 3


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_the_connection_is_kept():
    with transaction.atomic():
        before = connection.connection
        insist(failing([OperationalError("locked")]), what="it")
        assert connection.connection is before
        QrsSite.objects.create(pk=1)

    assert QrsSite.objects.exists()


@pytest.mark.django_db
def test_without_a_limit_it_goes_on_until_the_database_is_back():
    began_at, errors = time.monotonic(), repeat(OperationalError("gone"), 1000)

    assert insist(failing(errors), what="it") == "done"
    assert time.monotonic() - began_at < 30
