"""The states of a reload, as QRS numbers them."""

from __future__ import annotations

import pytest

from qlik.execution import ExecutionStatus

# code, name, running, success, bad end
STATES = [
    (-1, "UNKNOWN", False, False, False),
    (0, "NEVER_STARTED", False, False, False),
    (1, "TRIGGERED", True, False, False),
    (2, "STARTED", True, False, False),
    (3, "QUEUED", True, False, False),
    (4, "ABORT_INITIATED", True, False, False),
    (5, "ABORTING", True, False, False),
    (6, "ABORTED", False, False, True),
    (7, "FINISHED_SUCCESS", False, True, False),
    (8, "FINISHED_FAIL", False, False, True),
    (9, "SKIPPED", False, False, False),
    (10, "RETRY", True, False, False),
    (11, "ERROR", False, False, True),
    (12, "RESET", False, False, False),
    (13, "DISTRIBUTION_QUEUE", True, False, False),
    (14, "DISTRIBUTION_RUNNING", True, False, False),
]


@pytest.mark.parametrize(("code", "name", "running", "success", "bad"), STATES)
def test_every_code_is_what_qlik_says_it_is(code: int, name: str, running: bool, success: bool, bad: bool) -> None:
    status = ExecutionStatus(code)
    assert status.name == name
    assert (status.is_running, status.is_success, status.is_bad_end) == (running, success, bad)


def test_there_are_no_other_codes() -> None:
    assert [status.value for status in ExecutionStatus] == [code for code, *_ in STATES]


def test_a_number_of_a_newer_release_is_unknown() -> None:
    assert ExecutionStatus(99) is ExecutionStatus.UNKNOWN


def test_a_text_is_no_state() -> None:
    with pytest.raises(ValueError, match="'running' is not a valid ExecutionStatus"):
        ExecutionStatus("running")
