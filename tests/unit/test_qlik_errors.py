"""Which class an answer of QRS falls into, and what the errors say."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from qlik.errors import (
    TEXT_LENGTH,
    Availability,
    CertificateError,
    NotStartedError,
    OutcomeUnknownError,
    QrsError,
    RefusedError,
    error_for_status,
)

NOT_TAKEN = [408, 425, 429, 503]
ELSEWHERE = [301, 302, 307, 308]
REFUSED = sorted(set(range(400, 500)) - set(NOT_TAKEN))
IN_DOUBT = sorted({100, 101, 103, 199, 200, 201, 204, 299, *range(300, 400), *range(500, 620), 999} - {*ELSEWHERE, 503})


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        (NOT_TAKEN, NotStartedError),
        ([*ELSEWHERE, *REFUSED], RefusedError),
        (IN_DOUBT, OutcomeUnknownError),
    ],
    ids=["not started", "refused", "in doubt"],
)
def test_the_status_decides_the_class(statuses: list[int], kind: type[QrsError]) -> None:
    for status in statuses:
        error = error_for_status(status=status, text="Nothing doing.")
        assert type(error) is kind, status
        assert error.status == status
        assert error.text == "Nothing doing."
        assert str(error).startswith(f"QRS answered {status}: Nothing doing.")


def test_what_is_refused_shows_that_qrs_works_but_not_what_servers_on_the_way_say() -> None:
    said = {status: error_for_status(status=status, text="").availability for status in range(100, 620)}
    works = [status for status, availability in said.items() if availability is Availability.WORKS]
    away = [status for status, availability in said.items() if availability is Availability.AWAY]

    assert works == [status for status in REFUSED if status not in (407, 421)]
    assert away == [502, 503, 504]


def test_no_answer_shows_that_qrs_is_away() -> None:
    for kind in (NotStartedError, OutcomeUnknownError, CertificateError):
        assert kind().availability is Availability.AWAY


def test_an_answer_that_cannot_be_read_shows_nothing() -> None:
    assert OutcomeUnknownError(status=200).availability is Availability.UNCLEAR
    assert RefusedError(status=201).availability is Availability.WORKS, "a task that did not begin"


def test_only_what_may_be_asked_again_says_when() -> None:
    wait = timedelta(seconds=9)
    asked = {
        status for status in range(100, 620) if error_for_status(status=status, text="", retry_after=wait).retry_after
    }
    assert asked == set(NOT_TAKEN)


def test_the_message_says_what_to_do_next() -> None:
    assert str(error_for_status(status=403, text="")) == (
        "QRS answered 403: no text. Check the rights of the user that calls are made as."
    )


def test_the_docstring_is_the_message_when_there_is_no_other() -> None:
    assert str(NotStartedError()) == "The call never took effect, so it may be made again."


def test_a_long_text_becomes_one_short_line() -> None:
    error = error_for_status(status=500, text="<html>\n  <body>" + "x" * 5000)
    assert error.text.startswith("<html> <body>xxx")
    assert error.text.endswith("x…")
    assert len(error.text) == TEXT_LENGTH


def test_what_no_database_takes_is_replaced() -> None:
    error = error_for_status(status=400, text="no \0 task \ud800")
    assert error.text == "no \ufffd task \ufffd"
    assert "no \ufffd task \ufffd." in str(error)


def test_unusable_certificates_mean_that_nothing_was_started() -> None:
    assert issubclass(CertificateError, NotStartedError)


def test_an_error_survives_the_way_from_one_process_to_another() -> None:
    error = pickle.loads(pickle.dumps(error_for_status(status=404, text="No such task")))  # noqa: S301
    assert (type(error), error.status, error.text) == (RefusedError, 404, "No such task")
    assert "No such task" in str(error)
