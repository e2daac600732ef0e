"""Answers that come when their claim was given up: what was started is never lost, and nothing else is overwritten."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from schedules import claims, runs
from schedules.models import Run
from tests.conftest import TASK_ID

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
SESSION = uuid.UUID("5c1b1f0e-6d53-4ac7-9d0c-0f8f6e2b8a11")


def make_run(state: Run.State, **values: object) -> Run:
    given = {"due_at": NOW, "planned_at": NOW, "claimed_at": NOW, "reason": Run.Reason.MANUAL, "worker": "a"} | values
    return Run.objects.create(qlik_task_id=TASK_ID, state=state, **given)


def answer(run: Run, state: Run.State = Run.State.STARTED, **values: object) -> int:
    """Record what came of the call that was made under the claim of NOW."""
    given = {"session": SESSION if state == Run.State.STARTED else None, "claimed_at": NOW} | values
    called_at = NOW + timedelta(seconds=1)
    outcome = runs.Outcome(id=run.pk, state=state, called_at=called_at, answered_at=LATER, message="said", **given)
    lost = runs.record_outcomes([outcome])
    run.refresh_from_db()
    return lost


@pytest.mark.parametrize("state", ["unsure", "retrying", "planned", "queued"])
def test_a_start_is_written_where_nobody_has_claimed_the_run_since(state, caplog):
    run = make_run(Run.State(state), next_try_at=LATER)

    assert answer(run) == 0

    assert (run.state, run.qrs_session, run.message) == ("started", SESSION, "said")
    assert (run.called_at, run.next_try_at, run.attempts) == (NOW + timedelta(seconds=1), None, 1)
    assert "given up before its answer came" in caplog.text


@pytest.mark.parametrize("state", ["unreachable", "unknown"])
def test_of_a_closed_run_the_session_is_kept_and_the_state_stays(state, caplog):
    run = make_run(Run.State(state), closed_at=LATER, message="Before.")

    assert answer(run) == 1

    assert (run.state, run.closed_at, run.qrs_session) == (state, LATER, SESSION)
    assert run.message.startswith("Before. It was started after all")
    assert str(SESSION) in run.message
    assert str(SESSION) in caplog.text


def test_the_session_that_a_run_has_is_not_replaced(caplog):
    other = uuid.uuid4()
    run = make_run(Run.State.SUCCEEDED, closed_at=LATER, qrs_session=other, called_at=LATER)

    assert answer(run) == 1

    assert (run.state, run.qrs_session) == ("succeeded", other)
    assert str(SESSION) in run.message
    assert str(SESSION) in caplog.text


def test_of_a_run_that_another_call_has_started_both_sessions_are_told(caplog):
    other = uuid.uuid4()
    run = make_run(Run.State.STARTED, claimed_at=LATER, worker="b", message="of b", qrs_session=other)

    assert answer(run) == 1

    assert (run.state, run.worker, run.qrs_session) == ("started", "b", other)
    assert run.message.startswith("of b It was started after all")
    assert str(SESSION) in run.message


@pytest.mark.parametrize("state", ["claimed", "unsure", "retrying", "planned", "queued"])
@pytest.mark.parametrize("outcome", ["started", "retrying", "refused", "unsure"])
def test_a_run_that_was_claimed_again_is_left_to_its_new_worker(state, outcome, caplog):
    run = make_run(Run.State(state), claimed_at=LATER, worker="b", message="of b")

    assert answer(run, Run.State(outcome)) == 1

    assert (run.state, run.worker, run.message, run.qrs_session) == (state, "b", "of b", None)
    assert (str(SESSION) in caplog.text) is (outcome == "started")


@pytest.mark.parametrize("outcome", ["retrying", "refused", "unreachable", "unsure"])
def test_what_a_call_said_replaces_the_doubt_about_it(outcome):
    run = make_run(Run.State.UNSURE)

    assert answer(run, Run.State(outcome)) == 0

    assert (run.state, run.message, run.called_at) == (outcome, "said", NOW + timedelta(seconds=1))


@pytest.mark.parametrize("state", ["retrying", "planned", "queued", "started", "unreachable", "unknown", "skipped"])
@pytest.mark.parametrize("outcome", ["retrying", "refused", "unreachable", "unsure"])
def test_nothing_but_a_start_changes_a_run_that_has_gone_on(state, outcome):
    run = make_run(Run.State(state), message="Before.")

    assert answer(run, Run.State(outcome)) == 1

    assert (run.state, run.message) == (state, "Before.")


@pytest.mark.parametrize("outcome", ["started", "retrying", "unsure", "refused"])
def test_an_outcome_that_is_written_twice_counts_once(outcome, caplog):
    run = make_run(Run.State.CLAIMED)

    assert answer(run, Run.State(outcome)) == 0
    answer(run, Run.State(outcome))

    assert (run.state, run.attempts, run.message) == (outcome, 1, "said")
    assert caplog.text == ""


def test_a_start_that_was_found_out_meanwhile_needs_no_word(caplog):
    run = make_run(Run.State.SUCCEEDED, closed_at=LATER, qrs_session=SESSION, message="found")

    answer(run)

    assert (run.state, run.message) == ("succeeded", "found")
    assert caplog.text == ""


@pytest.mark.parametrize("state", ["claimed", "unsure"])
def test_a_claim_whose_moment_was_brought_back_with_the_clock_is_the_same(state):
    run = make_run(Run.State(state), claimed_at=NOW - timedelta(days=3))

    assert answer(run) == 0

    assert (run.state, run.qrs_session) == ("started", SESSION)


def test_of_many_only_the_late_one_is_written_late():
    on_time, late = make_run(Run.State.CLAIMED), make_run(Run.State.UNSURE)
    outcomes = [
        runs.Outcome(
            id=run.pk, state=Run.State.STARTED, called_at=NOW, answered_at=NOW, session=session, claimed_at=NOW
        )
        for run, session in ((on_time, uuid.uuid4()), (late, SESSION))
    ]

    assert runs.record_outcomes(outcomes) == 0

    assert set(Run.objects.values_list("state", flat=True)) == {"started"}
    assert Run.objects.get(pk=late.pk).qrs_session == SESSION


def test_outcomes_on_time_take_one_statement(django_assert_num_queries):
    claimed = [make_run(Run.State.CLAIMED) for _ in range(20)]
    outcomes = [
        runs.Outcome(id=run.pk, state=Run.State.STARTED, called_at=NOW, answered_at=NOW, claimed_at=NOW)
        for run in claimed
    ]

    with django_assert_num_queries(1):
        assert runs.record_outcomes(outcomes) == 0


class TestGivingUp:
    LIMIT = timedelta(minutes=2)

    def give_up(self, **values: object) -> int:
        return claims.give_up_lost_claims(now=LATER, limit=self.LIMIT, **values)

    def test_a_claim_that_is_renewed_is_kept_wherever_its_worker_is(self):
        make_run(Run.State.CLAIMED, claim_renewed_at=LATER - timedelta(seconds=119))

        assert self.give_up() == 0

    def test_a_claim_that_is_renewed_no_more_is_given_up(self):
        make_run(Run.State.CLAIMED, claim_renewed_at=LATER - timedelta(seconds=121))

        assert self.give_up() == 1

    def test_the_renewal_of_an_earlier_claim_does_not_count(self):
        run = make_run(Run.State.CLAIMED, claimed_at=LATER, claim_renewed_at=NOW - timedelta(days=1))

        assert self.give_up() == 0
        assert claims.give_up_lost_claims(now=LATER + self.LIMIT * 2, limit=self.LIMIT) == 1
        run.refresh_from_db()
        assert run.state == "unsure"

    def test_a_claim_of_a_process_that_lives_is_kept_though_it_is_not_renewed(self):
        make_run(Run.State.CLAIMED)

        assert self.give_up(living_workers=["a"]) == 0
        assert self.give_up(living_workers=["b"]) == 1

    def test_no_claim_is_kept_for_ever(self):
        make_run(Run.State.CLAIMED, claimed_at=LATER - claims.LIVING_LIMIT - timedelta(seconds=1))

        assert self.give_up(living_workers=["a"]) == 1

    def test_renewing_leaves_a_run_alone_that_was_given_up(self):
        run = make_run(Run.State.QUEUED)
        (claimed,) = claims.claim_runs([run.pk], worker="a", now=NOW)
        Run.objects.update(state=Run.State.UNSURE)

        claims.renew_claims([claimed], now=LATER)

        run.refresh_from_db()
        assert run.claim_renewed_at is None
