"""What a backfill takes an occurrence for, by what the ledger has of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from schedules.backfill import Occurrence, preview_backfill
from schedules.models import Run, Schedule

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
STARTED = ("started", "succeeded", "failed", "aborted")
#: May have been started, or is about to be
UNDECIDED = ("planned", "queued", "claimed", "retrying", "waiting", "unsure", "unknown")
NOT_RUN = ("skipped", "refused", "unreachable")


@pytest.fixture
def hourly(make_schedule) -> Schedule:
    return make_schedule(cron_schedule="0 * * * *", timezone="UTC")


def look(schedule: Schedule, *states: str, reasons: tuple[str, ...] = ("scheduled", "repeated")) -> Occurrence:
    """Return the occurrence of noon, of which the ledger has a run in each of the states."""
    for state, reason in zip(states, reasons, strict=False):
        Run.objects.create(
            schedule=schedule,
            qlik_task_id=schedule.qlik_task_id,
            due_at=NOON,
            planned_at=NOON,
            reason=reason,
            state=state,
        )
    (preview,) = preview_backfill([schedule.name], from_at=NOON, until_at=NOON + timedelta(minutes=59))
    (occurrence,) = preview.occurrences
    return occurrence


def test_every_state_is_known_here():
    assert {*STARTED, *UNDECIDED, *NOT_RUN} == {*Run.State}


@pytest.mark.parametrize("state", Run.State)
def test_one_that_ran_may_have_or_is_about_to_is_made_again_only_on_demand(hourly, state):
    occurrence = look(hourly, state)

    assert (occurrence.state, occurrence.has_run) == (state, state not in NOT_RUN)
    assert occurrence.is_wanted(again=False) is (state in NOT_RUN)
    assert occurrence.is_wanted(again=True)


@pytest.mark.parametrize(("started", "other"), list(product(STARTED, (*UNDECIDED, *NOT_RUN))))
@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_runs_the_one_that_was_started_counts(hourly, started, other, is_first):
    occurrence = look(hourly, *((started, other) if is_first else (other, started)))

    assert (occurrence.state, occurrence.is_wanted(again=False)) == (started, False)


@pytest.mark.parametrize(("undecided", "other"), list(product(UNDECIDED, NOT_RUN)))
@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_runs_one_that_surely_did_not_run_says_least(hourly, undecided, other, is_first):
    occurrence = look(hourly, *((undecided, other) if is_first else (other, undecided)))

    assert (occurrence.state, occurrence.is_wanted(again=False)) == (undecided, False)


@pytest.mark.parametrize("state", Run.State)
def test_what_was_backfilled_is_made_again_only_where_it_surely_did_not_run(hourly, state):
    occurrence = look(hourly, state, reasons=("backfill",))

    assert occurrence.is_wanted(again=False) is occurrence.is_wanted(again=True) is (state in NOT_RUN)


def test_one_that_the_ledger_has_nothing_of_is_wanted(hourly):
    occurrence = look(hourly)

    assert (occurrence.state, occurrence.has_run, occurrence.is_wanted(again=False)) == ("", False, True)
