"""Which class an answer of QRS falls into, and what the errors say."""

from __future__ import annotations

import pickle

import pytest

from qlik.errors import (
    TEXT_LENGTH,
    CertificateError,
    NotStartedError,
    OutcomeUnknownError,
    QrsError,
    RefusedError,
    error_for_status,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, NotStartedError),
        (500, OutcomeUnknownError),
        (501, OutcomeUnknownError),
        (502, OutcomeUnknownError),
        (504, OutcomeUnknownError),
        (599, OutcomeUnknownError),
        (302, RefusedError),
        (400, RefusedError),
        (401, RefusedError),
        (403, RefusedError),
        (404, RefusedError),
        (405, RefusedError),
        (429, RefusedError),
    ],
)
def test_the_status_decides_the_class(status: int, kind: type[QrsError]) -> None:
    error = error_for_status(status=status, text="Nothing doing.")
    assert type(error) is kind
    assert error.status == status
    assert error.text == "Nothing doing."
    assert str(error).startswith(f"QRS answered {status}: Nothing doing.")


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
