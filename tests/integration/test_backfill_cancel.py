"""Backfills, and other runs that somebody has asked for, are taken back: by hand, a stop, a pause, a deletion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import backfill as backfills
from schedules import claims, runs, services, tasks
from schedules.backfill import backfill, cancel_backfill, count_waiting
from schedules.changes import Origin
from schedules.models import Run, Schedule, ScheduleChange
from schedules.periods import PeriodError
from schedules.services import UnknownScheduleError
from tests.conftest import ORIGIN
from tests.integration.begun import list_begun
from tests.integration.locks import needs_row_locks, waiting_thread
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

FROM = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)
UNTIL = FROM + timedelta(minutes=4)
ANNA = Origin(ScheduleChange.Source.ADMIN, "anna")
WAITING = ["planned", "queued", "retrying", "waiting"]
LIST = "/admin/schedules/schedule/"


@pytest.fixture
def filled(make_schedule) -> Schedule:
    """A schedule with five runs of a backfill."""
    schedule = make_schedule()
    fill(schedule)
    return schedule


def fill(schedule: Schedule) -> int:
    return backfill([schedule.name], from_at=FROM, until_at=UNTIL, origin=ORIGIN)


def cancel(schedule: Schedule, **values: object) -> tuple[int, int]:
    return tuple(cancel_backfill([schedule.name], origin=ANNA, **values))


def states() -> list[str]:
    return sorted(Run.objects.values_list("state", flat=True))


class TestCancel:
    @pytest.mark.parametrize("state", WAITING)
    def test_what_no_worker_has_in_hand_does_not_start_and_says_who_took_it_back(self, filled, state):
        Run.objects.update(state=state)
        assert count_waiting([filled.name]) == 5

        assert cancel(filled) == (5, 0)

        run = Run.objects.first()
        assert (run.state, run.closed_at is not None) == ("skipped", True)
        assert run.message == "The backfill was cancelled by anna, admin."
        assert (cancel(filled), count_waiting([filled.name])) == ((0, 0), 0)

    @pytest.mark.parametrize("state", ["claimed", "unsure", "started"])
    def test_what_a_worker_has_in_hand_goes_on_and_is_counted(self, filled, state):
        Run.objects.filter(due_at=FROM).update(state=state, claimed_at=timezone.now())

        assert cancel(filled) == (4, 1)
        assert states() == sorted([state, *["skipped"] * 4])

    def test_it_can_be_made_again_and_taken_back_again(self, filled):
        for _ in range(3):
            assert cancel(filled) == (5, 0)
            assert fill(filled) == 5

    def test_of_a_time_only_what_was_due_in_it(self, filled):
        minute = timedelta(minutes=1)

        assert cancel(filled, from_at=FROM + minute, until_at=FROM + 2 * minute) == (2, 0)
        assert cancel(filled, until_at=FROM) == (1, 0)
        assert cancel(filled, from_at=UNTIL) == (1, 0)
        assert states() == ["planned", *["skipped"] * 4]
        with pytest.raises(PeriodError, match="is before from"):
            cancel(filled, from_at=UNTIL, until_at=FROM)

    @pytest.mark.parametrize("reason", ["scheduled", "catch-up", "repeated", "manual", "api"])
    def test_runs_for_other_reasons_and_of_other_schedules_stay(self, filled, make_schedule, reason):
        other = make_schedule()
        fill(other)
        Run.objects.filter(schedule=filled, due_at=FROM).update(reason=reason)

        assert cancel(filled) == (4, 0)
        assert states() == [*["planned"] * 6, *["skipped"] * 4]

    def test_an_unknown_schedule_is_named_and_nothing_is_cancelled(self, filled):
        with pytest.raises(UnknownScheduleError):
            cancel_backfill([filled.name, "nobody"], origin=ANNA)

        assert states() == ["planned"] * 5

    def test_messages_that_beat_sends_all_the_same_start_nothing(self, filled):
        keys = runs.take_planned(most=10, now=timezone.now())
        cancel(filled)

        runs.give_back(keys)
        assert claims.claim_runs([run.pk for run in Run.objects.all()], worker="w", now=timezone.now()) == []
        assert states() == ["skipped"] * 5
        assert runs.take_planned(most=10, now=timezone.now()) == []

    @needs_row_locks
    @pytest.mark.django_db(transaction=True)
    def test_a_worker_that_claims_at_the_same_moment_has_the_run(self, filled):
        runs.take_planned(most=10, now=timezone.now())
        (first, *_) = Run.objects.order_by("due_at")
        counts = []

        with transaction.atomic():
            claims.claim_runs([first.pk], worker="w", now=timezone.now())
            canceller = waiting_thread(lambda: counts.append(cancel(filled)))
        canceller.join(30)

        assert counts == [(4, 1)]
        first.refresh_from_db()
        assert first.state == "claimed"

    @needs_row_locks
    @pytest.mark.django_db(transaction=True)
    def test_a_worker_that_comes_a_moment_later_finds_nothing(self, filled):
        runs.take_planned(most=10, now=timezone.now())
        keys = [run.pk for run in Run.objects.all()]
        claimed = []

        with transaction.atomic():
            assert cancel(filled) == (5, 0)
            worker = waiting_thread(lambda: claimed.extend(claims.claim_runs(keys, worker="w", now=timezone.now())))
        worker.join(30)

        assert (claimed, states()) == ([], ["skipped"] * 5)


class TestDoors:
    def test_the_api_says_how_many_and_how_many_it_could_not(self, client, filled):
        Run.objects.filter(due_at=FROM).update(state="claimed", claimed_at=timezone.now())
        path = f"/v4/schedules/{filled.name}/backfill"

        answer = client.delete(f"{path}?from=2024-03-04T06:00:00Z&until=2024-03-04T06:02:00Z")
        assert (answer.status_code, answer.json()) == (200, {"cancelled": 2, "inHand": 1})
        assert client.delete(path).json() == {"cancelled": 2, "inHand": 1}
        assert client.delete("/v4/schedules/nobody/backfill").status_code == 404

    @pytest.mark.parametrize("query", ["form=2024-03-04T06:00:00Z", "from=soon", "until="])
    def test_the_api_cancels_nothing_where_the_time_is_mistyped(self, client, filled, query):
        answer = client.delete(f"/v4/schedules/{filled.name}/backfill?{query}")

        assert answer.status_code == 400
        assert states() == ["planned"] * 5

    def test_the_command_shows_first_and_cancels_when_told_so(self, filled):
        Run.objects.filter(due_at=FROM).update(state="claimed", claimed_at=timezone.now())

        shown = schedules("backfill", filled.name, "--cancel", "--until", "2024-03-04T06:01:00Z").out
        assert shown == "1 run would be cancelled. Nothing was written; --yes cancels.\n"
        assert states() == ["claimed", *["planned"] * 4]

        done = schedules("backfill", filled.name, "--cancel", "--yes").out
        assert done == "Cancelled: 4 runs. 1 run cannot be taken back any more.\n"
        assert schedules("backfill", filled.name, "--cancel", "--yes").out.startswith("Cancelled: 0 runs.")

    def test_the_command_asks_for_a_time_where_it_needs_one(self, filled):
        for given in ([], ["--from", "2024-03-04"], ["--until", "2024-03-04"]):
            assert "Give --from and --until" in schedules("backfill", filled.name, *given).refusal

    def test_the_admin_cancels_for_all_that_are_ticked(self, admin_client, filled, make_schedule):
        other = make_schedule()
        fill(other)
        Run.objects.filter(due_at=FROM).update(state="claimed", claimed_at=timezone.now())
        data = {"action": "cancel_backfill_selected", "_selected_action": [filled.pk, other.pk]}

        text = admin_client.post(LIST, data, follow=True).content.decode()
        assert "8 runs cancelled. 2 runs cannot be taken back any more, for a worker has them." in text
        Run.objects.update(state="skipped", closed_at=timezone.now())
        assert "No run of a backfill waits." in admin_client.post(LIST, data, follow=True).content.decode()


STOPPED = "The schedule was stopped before a worker took it."
STEPS = {
    "stop": (lambda name: services.stop_schedules([name], origin=ORIGIN), STOPPED),
    "stop all": (lambda name: services.stop_schedules(None, origin=ORIGIN), STOPPED),
    "delete": (
        lambda name: services.delete_schedules([name], origin=ORIGIN),
        "The schedule was deleted before a worker took it.",
    ),
    "pause": (
        lambda name: services.pause_schedules(
            [name], until=timezone.now() + timedelta(days=1), reason="disks", origin=ORIGIN
        ),
        "Paused until",
    ),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "repeated", "manual", "backfill"])
class TestSteps:
    """What a stop, a pause or a deletion does to runs that wait, for whatever reason they were to run."""

    @pytest.mark.parametrize("state", WAITING)
    def test_what_waits_is_skipped_but_not_what_somebody_has_just_asked_for(self, filled, step, reason, state):
        Run.objects.update(reason=reason, state=state)
        do, message = STEPS[step]

        do(filled.name)

        if reason == "manual" and state in ("planned", "queued"):
            assert states() == [state] * 5
        else:
            assert states() == ["skipped"] * 5
            assert all(run.message.startswith(message) and run.closed_at for run in Run.objects.all())

    @pytest.mark.parametrize("state", ["claimed", "unsure", "started", "succeeded", "unknown"])
    def test_what_a_worker_has_in_hand_or_is_over_is_not(self, filled, step, reason, state):
        Run.objects.update(reason=reason, state=state)

        STEPS[step][0](filled.name)

        assert states() == [state] * 5

    def test_what_a_worker_had_in_hand_is_not_tried_again(self, run_now, qrs_service, step, reason):
        qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
        run = run_now()
        Run.objects.update(reason=reason)
        (claim,) = claims.claim_runs([run.pk], worker="w", now=timezone.now())

        STEPS[step][0](run.schedule_name)
        tasks._settle({claim: tasks.starting.start(claim)})
        run.refresh_from_db()
        assert run.state in ("retrying", "skipped")
        Run.objects.filter(state="retrying").update(next_try_at=timezone.now())
        runs.resume_due(now=timezone.now())
        tasks.start_runs(runs.take_planned(most=10, now=timezone.now()))

        run.refresh_from_db()
        assert (run.state, bool(run.message)) == ("skipped", True)
        assert not list_begun(qrs_service)


def test_a_stop_of_what_is_stopped_skips_what_somebody_asked_for_since(filled):
    services.stop_schedules([filled.name], origin=ORIGIN)
    assert fill(filled) == 5, "a backfill of a stopped schedule runs"

    services.stop_schedules([filled.name], origin=ORIGIN)

    assert states() == ["skipped"] * 10


@pytest.mark.parametrize("step", STEPS)
def test_a_step_in_the_middle_of_a_backfill_ends_it(make_schedule, monkeypatch, step):
    schedule = make_schedule()
    plan_part, numbers = backfills._plan, []

    def plan_and_step(wishes, **options):
        numbers.append(plan_part(wishes, **options))
        if len(numbers) == 1:
            STEPS[step][0](schedule.name)
        return numbers[-1]

    monkeypatch.setattr(backfills, "_PART_SIZE", 2)
    monkeypatch.setattr(backfills, "_plan", plan_and_step)
    fill(schedule)

    assert numbers == [2, 0, 0]
    assert states() == ["skipped"] * 2


@pytest.mark.parametrize("step", ["stop", "pause"])
@pytest.mark.usefixtures("qrs_service")
def test_what_is_asked_for_after_a_stop_or_a_pause_is_tried_again_like_any_other(make_schedule, qrs_service, step):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    schedule = make_schedule()
    STEPS[step][0](schedule.name)
    (run,) = services.run_now([schedule.name], origin=ORIGIN)
    tasks.start_runs(runs.take_planned(most=10, now=timezone.now()))

    Run.objects.update(next_try_at=timezone.now())
    runs.resume_due(now=timezone.now())
    tasks.start_runs(runs.take_planned(most=10, now=timezone.now()))

    run.refresh_from_db()
    assert (run.state, run.attempts) == ("started", 2)
