"""The rules for schedules. Every door (API, admin, commands) comes through these functions."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone

from schedules import runs
from schedules.asking import plan_manual_runs
from schedules.bulk_rows import split
from schedules.changes import Origin, changes_since, newest_change, record_changes, record_differences
from schedules.editing import editing
from schedules.maintenance import refuse_during_maintenance
from schedules.models import START_RUNS_TASK, Run, Schedule, ScheduleChange
from schedules.policies import pause_message
from schedules.schedule_rows import (
    PART_SIZE,
    ChangedRows,
    NewRows,
    change_prepared,
    delete_rows,
    insert_new,
    prepare_changed,
    prepare_new,
    set_values,
)
from schedules.validators import validate_closure

Action = ScheduleChange.Action

#: What an edit may change
EDITABLE = (
    "title",
    "cron_schedule",
    "timezone",
    "qlik_task_id",
    "target_tag",
    "target_property",
    "startup_state",
    "tags",
    "misfire",
    "misfire_grace",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter",
    "excluded_dates",
    "overlap",
    "retry_deadline",
    "max_attempts",
)
#: What an edit of these changes are the times at which the schedule is due
_TIMES = frozenset({"cron_schedule", "timezone", "starts_at", "ends_at", "jitter", "excluded_dates"})


@dataclass(frozen=True, slots=True)
class Edits:
    """Schedules with what differs in them, the old value and the new one by its name; and how it is written."""

    differing: Sequence[tuple[Schedule, Mapping[str, list[object]]]]
    rows: ChangedRows


class _Chosen(NamedTuple):
    """What an edit of many schedules needs to know of each."""

    pk: int
    name: str
    enabled: bool
    paused_until: datetime | None
    pause_reason: str


class UnknownScheduleError(LookupError):
    """There is no schedule with this id."""

    def __init__(self, public_id: str) -> None:
        super().__init__(f"There is no schedule with the id {public_id!r}. List the schedules to see which there are.")


def get_schedule(public_id: str) -> Schedule:
    """Return the schedule with this public id; raises UnknownScheduleError."""
    return _list_schedules([public_id])[0]


def create_schedule(schedule: Schedule, *, origin: Origin) -> Schedule:
    """Save a new schedule under a new id, in its startup state; raises ValidationError."""
    schedule.name = str(uuid.uuid4())
    schedule.enabled = schedule.starts_with_service
    schedule.created_at = timezone.now()
    add_schedules([schedule], origin=origin)
    return schedule


def add_schedules(schedules: Sequence[Schedule], *, origin: Origin) -> None:
    """Save new schedules with the ids, states and creation times that they carry: all of them or none.

    Raises ValidationError for the first one that breaks a rule.
    """
    new = prepare_schedules(schedules)
    with editing() as now:
        write_new(new, at=now, origin=origin)


def prepare_schedules(schedules: Sequence[Schedule]) -> NewRows:
    """Return what add_schedules writes, with no lock held: beat waits for who has it. Raises ValidationError."""
    for schedule in schedules:
        schedule.armed_at = timezone.now()
        schedule.task = START_RUNS_TASK
        # That the id is free is checked under the lock
        schedule.full_clean(exclude={"crontab"}, validate_unique=False)
    return prepare_new(schedules)


def write_new(new: NewRows, *, at: datetime, origin: Origin) -> None:
    """Save what was prepared, under the lock of an edit that began at `at`. Raises ValidationError for a taken id."""
    insert_new(new, at=at)
    record_changes(((s.pk, s.name) for s in new.schedules), action=Action.CREATE, origin=origin, at=at)


def edit_schedule(schedule: Schedule, *, origin: Origin) -> Schedule:
    """Save the changed values of a schedule; raises ValidationError, UnknownScheduleError.

    The next occurrence after this call is the first one that the new values decide.
    """
    edit_schedules([schedule], origin=origin)
    return schedule


def change_schedule(public_id: str, *, values: Mapping[str, object], origin: Origin) -> Schedule:
    """Give one schedule these values by their columns, as edit_schedule does; others that change meanwhile stay so."""
    with editing() as now:
        schedule = get_schedule(public_id)
        for column, value in values.items():
            setattr(schedule, column, value)
        write_edits(prepare_edits([schedule]), at=now, origin=origin)
    return schedule


def edit_schedules(schedules: Sequence[Schedule], *, origin: Origin) -> None:
    """Save the changed values of schedules as edit_schedule does: of all of them or of none."""
    seen = newest_change()
    edits = prepare_edits(schedules)
    with editing() as now:
        if not changes_since(seen).isdisjoint(schedule.pk for schedule in schedules):
            # Somebody else was first; what differs from that is found out again
            edits = prepare_edits(schedules)
        write_edits(edits, at=now, origin=origin)


def prepare_edits(schedules: Sequence[Schedule]) -> Edits:
    """Return what edit_schedules writes, with no lock held: beat waits for who has it.

    Raises ValidationError, UnknownScheduleError.
    """
    before = {schedule.name: schedule for schedule in _list_schedules([schedule.name for schedule in schedules])}
    differing = [(schedule, diff) for schedule in schedules if (diff := _diff(before[schedule.name], schedule))]
    for schedule, diff in differing:
        schedule.full_clean(exclude={"crontab"}, validate_unique=False)
        if "max_runs" in diff:
            schedule.runs_planned = 0
    columns = [(schedule, [*diff, *(["runs_planned"] if "max_runs" in diff else [])]) for schedule, diff in differing]
    return Edits(differing, prepare_changed(columns))


def write_edits(edits: Edits, *, at: datetime, origin: Origin) -> None:
    """Save what was prepared, under the lock of an edit that began at `at`."""
    change_prepared(edits.rows, at=at)
    timed = [schedule for schedule, diff in edits.differing if diff.keys() & _TIMES]
    for schedule in timed:
        schedule.armed_at = at
    set_values([schedule.pk for schedule in timed], armed_at=at)
    rows = ((schedule.pk, schedule.name, diff) for schedule, diff in edits.differing)
    record_differences(rows, action=Action.EDIT, origin=origin, at=at)


def start_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """Start the schedules with these ids, or all for None, and return them in order of creation.

    Those already started stay as they are. Occurrences of the time before are not made up for. Raises
    UnknownScheduleError, and then starts none.
    """
    with editing() as now:
        wanted = _choose(public_ids)
        _start([one for one in wanted if not one.enabled], at=now, origin=origin)
    return _read(wanted, are_all=public_ids is None)


def stop_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """Stop the schedules with these ids, or all for None, and return them in order of creation.

    Runs that wait for a worker are skipped, backfills among them, so nothing starts after this call but what a worker
    has in hand and what somebody asks for by hand.
    Raises UnknownScheduleError, and then stops none.
    """
    with editing() as now:
        wanted = _choose(public_ids)
        _stop([one for one in wanted if one.enabled], at=now, origin=origin)
        # Those that were stopped already may have been backfilled since
        _skip_stopped([one for one in wanted if not one.enabled], which=Q(reason=Run.Reason.BACKFILL))
    return _read(wanted, are_all=public_ids is None)


def pause_schedules(
    public_ids: Iterable[str] | None, *, until: datetime, reason: str, origin: Origin
) -> list[Schedule]:
    """Skip what is due up to `until` for the schedules with these ids, or for all with None; return them.

    Started ones stay started, and a pause that is there already is replaced. Runs that wait for a worker are
    skipped, backfills among them. Raises ValidationError for an `until` that has passed,
    UnknownScheduleError; then none is paused.
    """
    with editing() as now:
        validate_closure(until=until, reason=reason, now=now)
        wanted = _choose(public_ids)
        runs.skip_unclaimed([one.pk for one in wanted], message=pause_message(until.astimezone(UTC), reason))
        pause = {"paused_until": until, "pause_reason": reason}
        _record_pause(wanted, pause, action=Action.PAUSE, origin=origin, at=now)
        set_values([one.pk for one in wanted], **pause)
    return _read(wanted, are_all=public_ids is None)


def resume_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """End the pause of the schedules with these ids, or of all for None, and return them in order of creation.

    What is due from now on counts. Those that are not paused stay as they are. Raises UnknownScheduleError, and then
    resumes none.
    """
    with editing() as now:
        wanted = _choose(public_ids)
        paused = [one for one in wanted if one.paused_until is not None and now <= one.paused_until]
        end = {"paused_until": None, "pause_reason": ""}
        _record_pause(paused, end, action=Action.RESUME, origin=origin, at=now)
        set_values([one.pk for one in paused], armed_at=now, **end)
    return _read(wanted, are_all=public_ids is None)


def delete_schedules(public_ids: Iterable[str], *, origin: Origin) -> None:
    """Delete the schedules with these ids; their runs stay in the ledger, and those that wait for a worker are skipped.

    Raises UnknownScheduleError.
    """
    with editing() as now:
        doomed = _choose(public_ids)
        pks = [one.pk for one in doomed]
        runs.skip_unclaimed(pks, message="The schedule was deleted before a worker took it.")
        record_changes(_name(doomed), action=Action.DELETE, origin=origin, at=now)
        delete_rows(pks)


def apply_startup_states(*, origin: Origin) -> tuple[int, int]:
    """Put every schedule into its startup state; return how many were started and how many stopped."""
    is_to_start = Q(startup_state__in=Schedule.STARTING_STATES)
    with editing() as now:
        to_start = _choose_among(Schedule.objects.filter(is_to_start, enabled=False))
        to_stop = _choose_among(Schedule.objects.filter(~is_to_start, enabled=True))
        _start(to_start, at=now, origin=origin)
        _stop(to_stop, at=now, origin=origin)
    return len(to_start), len(to_stop)


def run_now(public_ids: Iterable[str], *, origin: Origin, within: timedelta | None = None) -> list[Run]:
    """Plan one run, due now, for each of these schedules, started or not.

    Where one was asked for `within` this time before and is not over, it is returned instead: its `was_there` is true.
    Raises UnknownScheduleError, and MaintenanceError while the site is in maintenance; then none is planned.
    """
    asked_by = f"Asked for by {origin.actor}, {origin.source.label}." if origin.actor else ""
    with editing() as now:
        refuse_during_maintenance(now)
        return plan_manual_runs(_list_schedules(public_ids), now=now, message=asked_by, within=within)


def _start(stopped: Sequence[_Chosen], *, at: datetime, origin: Origin) -> None:
    set_values([one.pk for one in stopped], enabled=True, armed_at=at)
    record_changes(_name(stopped), action=Action.START, origin=origin, at=at)


def _stop(started: Sequence[_Chosen], *, at: datetime, origin: Origin) -> None:
    set_values([one.pk for one in started], enabled=False)
    _skip_stopped(started)
    record_changes(_name(started), action=Action.STOP, origin=origin, at=at)


def _skip_stopped(stopped: Sequence[_Chosen], *, which: Q | None = None) -> None:
    message = "The schedule was stopped before a worker took it."
    runs.skip_unclaimed([one.pk for one in stopped], message=message, which=which)


def _diff(before: Schedule, after: Schedule) -> dict[str, list[object]]:
    return _diff_values(before, {field: getattr(after, field) for field in EDITABLE})


def _diff_values(before: object, values: Mapping[str, object]) -> dict[str, list[object]]:
    old = {field: getattr(before, field) for field in values}
    return {field: [_plain(old[field]), _plain(new)] for field, new in values.items() if old[field] != new}


def _record_pause(
    schedules: Iterable[_Chosen], values: Mapping[str, object], *, action: Action, origin: Origin, at: datetime
) -> None:
    """Record what these values change."""
    # Those that had the same before share what is recorded
    diffs: dict[tuple[datetime | None, str], dict[str, list[object]]] = {}
    rows = []
    for one in schedules:
        before = one.paused_until, one.pause_reason
        if before not in diffs:
            diffs[before] = _diff_values(one, values)
        if diffs[before]:
            rows.append((one.pk, one.name, diffs[before]))
    record_differences(rows, action=action, origin=origin, at=at)


def _choose(public_ids: Iterable[str] | None) -> list[_Chosen]:
    """Return what an edit needs to know of the schedules with these ids, in order of creation; of all for None."""
    if public_ids is None:
        return _choose_among(Schedule.objects.all())
    wanted = list(public_ids)
    found = {one.name: one for part in _parts_of(wanted) for one in _choose_among(part)}
    _refuse_unknown(wanted, found)
    return sorted(found.values())


def _choose_among(schedules: QuerySet[Schedule]) -> list[_Chosen]:
    return [_Chosen(*values) for values in schedules.order_by("pk").values_list(*_Chosen._fields)]


def _name(schedules: Iterable[_Chosen]) -> list[tuple[int, str]]:
    return [(one.pk, one.name) for one in schedules]


def _read(chosen: Sequence[_Chosen], *, are_all: bool) -> list[Schedule]:
    """Return schedules as they are after an edit; it is not under the lock, for a hundred thousand take seconds."""
    if are_all:
        return list(Schedule.objects.all())
    pks = [one.pk for one in chosen]
    return [schedule for part in split(pks, PART_SIZE) for schedule in Schedule.objects.filter(pk__in=part)]


def _list_schedules(public_ids: Iterable[str]) -> list[Schedule]:
    wanted = list(public_ids)
    found = {schedule.name: schedule for part in _parts_of(wanted) for schedule in part}
    _refuse_unknown(wanted, found)
    return sorted(found.values(), key=lambda schedule: schedule.pk)


def _parts_of(public_ids: Iterable[str]) -> Iterator[QuerySet[Schedule]]:
    # PostgreSQL refuses to look for a text with a NUL in it
    possible = (public_id for public_id in public_ids if "\0" not in public_id)
    return (Schedule.objects.filter(name__in=part) for part in split(possible, PART_SIZE))


def _refuse_unknown(public_ids: Iterable[str], known: Container[str]) -> None:
    for public_id in public_ids:
        if public_id not in known:
            raise UnknownScheduleError(public_id)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | list) else str(value)
