"""Edits of many schedules at once: few statements under the lock that beat waits for, and all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from schedules import imports, services
from schedules.imports import carry_out, plan_import
from schedules.maintenance import begin_maintenance, end_maintenance
from schedules.models import AlertChannel, Run, Schedule, ScheduleChange
from schedules.yaml_io import Entry, ScheduleFileError
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db


def make_entries(numbers: Iterable[int], **values: str) -> list[Entry]:
    """Return entries of a file, each with times of its own."""
    return [
        Entry(number, number, {**_VALUES, "id": f"id-{number}", "cronSchedule": _cron(number), **values}, {})
        for number in numbers
    ]


_VALUES = {"name": "Many", "timezone": "UTC", "qlikSenseTaskId": TASK_ID, "startupState": "started"}


def _cron(number: int) -> str:
    return f"{number % 60} {number // 60} * * *"


def import_entries(entries: list[Entry]) -> None:
    carry_out(plan_import(entries), origin=ORIGIN)


def count_statements(edit: Callable[[], object]) -> int:
    """Return how many statements an edit takes, one with many rows counting once."""
    with CaptureQueriesContext(connection) as queries:
        edit()
    return len(queries)


def pause(public_ids: Iterable[str] | None) -> None:
    services.pause_schedules(public_ids, until=timezone.now() + timedelta(days=1), reason="", origin=ORIGIN)


EDITS: dict[str, Callable[[list[str]], object]] = {
    "stop": lambda names: services.stop_schedules(names, origin=ORIGIN),
    "stop all": lambda names: services.stop_schedules(None, origin=ORIGIN),
    "start": lambda names: services.start_schedules(names, origin=ORIGIN),
    "start all": lambda names: services.start_schedules(None, origin=ORIGIN),
    "pause": pause,
    "pause all": lambda names: pause(None),
    "resume all": lambda names: services.resume_schedules(None, origin=ORIGIN),
    "delete": lambda names: services.delete_schedules(names, origin=ORIGIN),
    "startup": lambda names: services.apply_startup_states(origin=ORIGIN),
    "edit": lambda names: services.edit_schedules(_with_new_times(names), origin=ORIGIN),
}


def _with_new_times(names: list[str]) -> list[Schedule]:
    schedules = list(Schedule.objects.filter(name__in=names))
    for number, schedule in enumerate(schedules):
        schedule.cron_schedule = f"{_cron(number)[:-1]}1"
    return schedules


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_takes_as_many_statements_for_many_schedules_as_for_some(edit):
    counts = []
    for size in (20, 400):
        Schedule.objects.all().delete()
        import_entries(make_entries(range(size)))
        Schedule.objects.update(enabled=edit in ("stop", "stop all", "pause", "pause all"))
        if edit == "resume all":
            pause(None)
        names = [f"id-{number}" for number in range(size)]
        counts.append(count_statements(lambda names=names: EDITS[edit](names)))

    # A crontab that is there already saves some
    assert counts[1] <= counts[0] + 3


def test_an_import_takes_as_many_statements_for_many_schedules_as_for_some():
    created = [
        count_statements(lambda numbers=numbers: import_entries(make_entries(numbers)))
        for numbers in (range(20), range(500, 900))
    ]
    changed = [
        count_statements(lambda numbers=numbers: import_entries(make_entries(numbers, timezone="Asia/Tokyo")))
        for numbers in (range(20), range(500, 900))
    ]

    assert created[1] <= created[0] + 3
    assert changed[1] <= changed[0] + 3


def test_an_import_pauses_and_resumes_many_in_one_step():
    import_entries(make_entries(range(200)))
    until = f"{timezone.now() + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"

    statements = count_statements(lambda: import_entries(make_entries(range(200), pausedUntil=until)))

    assert statements < 50
    assert Schedule.objects.filter(paused_until__isnull=False).count() == 200
    import_entries(make_entries(range(200)))
    assert Schedule.objects.filter(paused_until=None).count() == 200


@pytest.mark.django_db(transaction=True)
def test_nothing_is_checked_or_compared_while_beat_waits_for_the_lock(monkeypatch):
    import_entries(make_entries(range(3)))
    checked = []
    clean = Schedule.full_clean

    def clean_and_note(schedule: Schedule, **options: object) -> None:
        checked.append(connection.in_atomic_block)
        clean(schedule, **options)

    monkeypatch.setattr(Schedule, "full_clean", clean_and_note)

    import_entries(make_entries(range(6), timezone="Asia/Tokyo"))

    assert checked == [False] * 6


def test_what_an_import_writes_is_whole():
    import_entries(make_entries([7, 8], tags=["a"], overlap="skip"))

    schedule = Schedule.objects.get(name="id-7")
    task = PeriodicTask.objects.get(name="id-7")
    assert (schedule.enabled, schedule.tags, schedule.overlap, schedule.pk) == (True, ["a"], "skip", task.pk)
    assert (task.task, task.kwargs, task.headers, task.crontab.minute) == ("schedules.start_runs", "{}", "{}", "7")
    change = ScheduleChange.objects.get(schedule_pk=schedule.pk)
    assert (change.action, change.schedule_name, change.actor, change.diff) == ("create", "id-7", "tests", {})
    assert change.changed_at == schedule.armed_at == task.date_changed
    assert not schedule.problem


def test_equal_times_share_a_crontab_however_many_there_are():
    import_entries(make_entries(range(40)))
    import_entries(make_entries(range(100, 140), cronSchedule="0 0 * * *"))

    assert CrontabSchedule.objects.count() == 40


def test_a_crontab_that_goes_between_comparison_and_writing_is_made_again(monkeypatch):
    import_entries(make_entries(range(20)))
    services.delete_schedules([f"id-{number}" for number in range(20)], origin=ORIGIN)
    before_the_lock(monkeypatch, lambda: CrontabSchedule.objects.all().delete())

    import_entries(make_entries(range(20)))

    assert PeriodicTask.objects.filter(crontab__minute="7").count() == 1


def test_an_import_that_fails_at_its_last_step_leaves_nothing(monkeypatch):
    import_entries(make_entries(range(2)))
    before = list(PeriodicTask.objects.values()), CrontabSchedule.objects.count(), ScheduleChange.objects.count()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of space")

    monkeypatch.setattr(services, "stop_schedules", fail)
    with pytest.raises(RuntimeError):
        import_entries(make_entries(range(20), timezone="Asia/Tokyo"))

    assert before == (
        list(PeriodicTask.objects.values()),
        CrontabSchedule.objects.count(),
        ScheduleChange.objects.count(),
    )


def before_the_lock(monkeypatch: pytest.MonkeyPatch, edit: Callable[[], object], *, module: object = imports) -> None:
    """Have somebody else edit in the last moment before an edit that is prepared gets the lock."""
    locking = module.editing  # type: ignore[attr-defined]

    def edit_and_lock() -> object:
        monkeypatch.setattr(module, "editing", locking)
        edit()
        return locking()

    monkeypatch.setattr(module, "editing", edit_and_lock)


@pytest.mark.parametrize(
    "edit",
    [
        lambda: services.change_schedule("id-1", values={"title": "Theirs"}, origin=ORIGIN),
        lambda: services.stop_schedules(["id-1"], origin=ORIGIN),
        lambda: pause(["id-1"]),
        lambda: services.delete_schedules(["id-1"], origin=ORIGIN),
    ],
    ids=["edit", "stop", "pause", "delete"],
)
@pytest.mark.parametrize("moment", ["after the comparison", "before the lock"])
def test_what_somebody_edits_meanwhile_is_reported_and_not_overwritten(monkeypatch, edit, moment):
    import_entries(make_entries(range(3)))
    plan = plan_import(make_entries(range(4), timezone="Asia/Tokyo"))
    if moment == "before the lock":
        before_the_lock(monkeypatch, edit)
    else:
        edit()
        after = list(Schedule.objects.order_by("pk").values())

    with pytest.raises(ScheduleFileError, match=r"Somebody else .* 'id-1'.* Import the file again"):
        carry_out(plan, origin=ORIGIN)

    assert not Schedule.objects.filter(timezone="Asia/Tokyo").exists()
    if moment == "after the comparison":
        assert list(Schedule.objects.order_by("pk").values()) == after


def test_an_edit_of_a_schedule_that_the_import_leaves_alone_is_no_reason_to_refuse():
    import_entries(make_entries(range(3)))
    plan = plan_import([*make_entries([1]), *make_entries([2], timezone="Asia/Tokyo")])
    services.stop_schedules(["id-0", "id-1"], origin=ORIGIN)

    carry_out(plan, origin=ORIGIN)

    assert Schedule.objects.get(name="id-2").timezone == "Asia/Tokyo"
    assert not Schedule.objects.get(name="id-1").enabled


def test_of_two_imports_at_once_one_is_refused_whole(monkeypatch):
    before_the_lock(monkeypatch, lambda: import_entries(make_entries(range(15, 30))))

    with pytest.raises(ScheduleFileError, match="Somebody else"):
        import_entries(make_entries(range(20)))

    assert sorted(Schedule.objects.values_list("name", flat=True)) == sorted(f"id-{n}" for n in range(15, 30))


def test_an_edit_records_what_it_changes_of_what_somebody_else_has_saved_meanwhile(monkeypatch, make_schedule):
    schedule = make_schedule(title="Old")
    mine, theirs = Schedule.objects.get(), Schedule.objects.get()
    mine.title, theirs.title = "Mine", "Theirs"
    before_the_lock(monkeypatch, lambda: services.edit_schedule(theirs, origin=ORIGIN), module=services)

    services.edit_schedule(mine, origin=ORIGIN)

    assert ScheduleChange.objects.latest("pk").diff == {"title": ["Theirs", "Mine"]}
    assert Schedule.objects.get(pk=schedule.pk).title == "Mine"


def test_an_edit_leaves_the_number_of_runs_alone_that_beat_has_counted_meanwhile(make_schedule):
    schedule = make_schedule(max_runs=5)
    Schedule.objects.update(runs_planned=3)

    schedule.title = "Another"
    services.edit_schedule(schedule, origin=ORIGIN)

    assert Schedule.objects.get().runs_planned == 3


def test_deleting_a_schedule_takes_it_out_of_the_channels_of_alerts(make_schedule):
    kept, gone = make_schedule(), make_schedule()
    channel = AlertChannel.objects.create(name="BI", url="json://localhost")
    channel.schedules.set([kept, gone])

    services.delete_schedules([gone.name], origin=ORIGIN)

    assert list(channel.schedules.all()) == [kept]
    assert not PeriodicTask.objects.filter(pk=gone.pk).exists()


@pytest.mark.parametrize("public_ids", [None, [f"id-{number}" for number in range(600)]])
def test_stopping_many_skips_their_waiting_runs_and_no_others(make_schedule, public_ids):
    import_entries(make_entries(range(600)))
    now = timezone.now()
    other = make_schedule(enabled=False)
    services.stop_schedules([other.name], origin=ORIGIN)
    pks = [*Schedule.objects.exclude(pk=other.pk).values_list("pk", flat=True)]
    for number, (pk, reason) in enumerate([(pk, "scheduled") for pk in (*pks, other.pk)] + [(pks[0], "manual")]):
        values = {"schedule_id": pk, "reason": reason, "qlik_task_id": TASK_ID, "due_at": now, "planned_at": now}
        Run.objects.create(id=UUID(int=number), state="queued", **values)

    services.stop_schedules(public_ids, origin=ORIGIN)

    assert Run.objects.filter(state="skipped", closed_at__isnull=False).count() == 600
    assert sorted(Run.objects.filter(state="queued").values_list("id", flat=True)) == [UUID(int=600), UUID(int=601)]


def test_a_maintenance_begins_in_few_statements_however_many_runs_wait(make_schedule):
    pk, now = make_schedule().pk, timezone.now()
    values = {"schedule_id": pk, "qlik_task_id": TASK_ID, "due_at": now, "planned_at": now, "reason": "manual"}
    counts = []
    for number in (1, 6000):
        Run.objects.bulk_create(Run(**values) for _ in range(number))
        counts.append(count_statements(lambda: begin_maintenance(until=None, reason="", origin=ORIGIN)))
        end_maintenance(origin=ORIGIN)

    # PostgreSQL locks runs by their keys, some thousand in a statement
    assert counts[1] == counts[0] + (connection.vendor == "postgresql")
    assert Run.objects.filter(state="skipped").count() == 6001
