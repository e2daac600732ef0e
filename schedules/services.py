"""The rules for schedules. Every door (API, admin, commands) comes through these functions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule

from schedules import runs
from schedules.changes import Origin, record_changes
from schedules.cron import CronExpression
from schedules.editing import editing
from schedules.maintenance import refuse_during_maintenance
from schedules.models import START_RUNS_TASK, Run, Schedule, ScheduleChange
from schedules.policies import pause_message
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
    for schedule in schedules:
        schedule.armed_at = timezone.now()
        schedule.task = START_RUNS_TASK
        # Beat waits while schedules are saved, so what can be checked before is; saving checks that the id is free
        schedule.full_clean(exclude={"crontab"}, validate_unique=False)
    with editing() as now:
        projection = cache(_projection)
        for schedule in schedules:
            schedule.armed_at = now
            schedule.crontab = projection(schedule.cron_schedule, schedule.timezone)
            _save(schedule)
        record_changes(schedules, action=Action.CREATE, origin=origin, at=now)


def edit_schedule(schedule: Schedule, *, origin: Origin) -> Schedule:
    """Save the changed values of a schedule; raises ValidationError, UnknownScheduleError.

    The next occurrence after this call is the first one that the new values decide.
    """
    edit_schedules([schedule], origin=origin)
    return schedule


def change_schedule(public_id: str, *, values: Mapping[str, object], origin: Origin) -> Schedule:
    """Give one schedule these values by their columns, as edit_schedule does; others that change meanwhile stay so."""
    with editing():
        schedule = get_schedule(public_id)
        for column, value in values.items():
            setattr(schedule, column, value)
        return edit_schedule(schedule, origin=origin)


def edit_schedules(schedules: Sequence[Schedule], *, origin: Origin) -> None:
    """Save the changed values of schedules as edit_schedule does: of all of them or of none."""
    with editing() as now:
        projection = cache(_projection)
        before = {schedule.name: schedule for schedule in _list_schedules([s.name for s in schedules])}
        for schedule in schedules:
            if diff := _diff(before[schedule.name], schedule):
                schedule.full_clean()
                if diff.keys() & {"cron_schedule", "timezone"}:
                    schedule.crontab = projection(schedule.cron_schedule, schedule.timezone)
                if diff.keys() & _TIMES:
                    schedule.armed_at = now
                if "max_runs" in diff:
                    schedule.runs_planned = 0
                _save(schedule, update_fields=[*diff, "crontab", "armed_at", "runs_planned", "date_changed"])
                record_changes([schedule], action=Action.EDIT, origin=origin, at=now, diff=diff)


def start_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """Start the schedules with these ids, or all for None, and return them in order of creation.

    Those already started stay as they are. Occurrences of the time before are not made up for. Raises
    UnknownScheduleError, and then starts none.
    """
    with editing() as now:
        wanted = _list_schedules(public_ids)
        stopped = [schedule for schedule in wanted if not schedule.enabled]
        _update(stopped, enabled=True, armed_at=now)
        record_changes(stopped, action=Action.START, origin=origin, at=now)
    return wanted


def stop_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """Stop the schedules with these ids, or all for None, and return them in order of creation.

    Runs that wait for a worker are skipped, so nothing starts after this call but what a worker has in hand.
    Raises UnknownScheduleError, and then stops none.
    """
    with editing() as now:
        wanted = _list_schedules(public_ids)
        started = [schedule for schedule in wanted if schedule.enabled]
        _update(started, enabled=False)
        runs.skip_unclaimed([s.pk for s in started], message="The schedule was stopped before a worker took it.")
        record_changes(started, action=Action.STOP, origin=origin, at=now)
    return wanted


def pause_schedules(
    public_ids: Iterable[str] | None, *, until: datetime, reason: str, origin: Origin
) -> list[Schedule]:
    """Skip what is due up to `until` for the schedules with these ids, or for all with None; return them.

    Started ones stay started, and a pause that is there already is replaced. Runs that wait for a worker are
    skipped. Raises ValidationError for an `until` that has passed, UnknownScheduleError; then none is paused.
    """
    with editing() as now:
        validate_closure(until=until, reason=reason, now=now)
        wanted = _list_schedules(public_ids)
        runs.skip_unclaimed([s.pk for s in wanted], message=pause_message(until.astimezone(UTC), reason))
        pause = {"paused_until": until, "pause_reason": reason}
        _record_pause(wanted, pause, action=Action.PAUSE, origin=origin, at=now)
        _update(wanted, **pause)
    return wanted


def resume_schedules(public_ids: Iterable[str] | None, *, origin: Origin) -> list[Schedule]:
    """End the pause of the schedules with these ids, or of all for None, and return them in order of creation.

    What is due from now on counts. Those that are not paused stay as they are. Raises UnknownScheduleError, and then
    resumes none.
    """
    with editing() as now:
        wanted = _list_schedules(public_ids)
        paused = [schedule for schedule in wanted if schedule.is_paused(at=now)]
        end = {"paused_until": None, "pause_reason": ""}
        _record_pause(paused, end, action=Action.RESUME, origin=origin, at=now)
        _update(paused, armed_at=now, **end)
    return wanted


def delete_schedules(public_ids: Iterable[str], *, origin: Origin) -> None:
    """Delete the schedules with these ids; their runs stay in the ledger. Raises UnknownScheduleError."""
    with editing() as now:
        doomed = _list_schedules(public_ids)
        runs.skip_unclaimed([s.pk for s in doomed], message="The schedule was deleted before a worker took it.")
        record_changes(doomed, action=Action.DELETE, origin=origin, at=now)
        for schedule in doomed:
            schedule.no_changes = schedule.periodictask_ptr.no_changes = True
            schedule.delete()


def apply_startup_states(*, origin: Origin) -> tuple[int, int]:
    """Put every schedule into its startup state; return how many were started and how many stopped."""
    schedules = list(Schedule.objects.all())
    to_start = [s.name for s in schedules if s.starts_with_service and not s.enabled]
    to_stop = [s.name for s in schedules if s.enabled and not s.starts_with_service]
    with transaction.atomic():
        start_schedules(to_start, origin=origin)
        stop_schedules(to_stop, origin=origin)
    return len(to_start), len(to_stop)


def run_now(public_ids: Iterable[str], *, origin: Origin) -> list[Run]:
    """Plan one run, due now, for each of these schedules, started or not.

    Raises UnknownScheduleError, and MaintenanceError while the site is in maintenance; then none is planned.
    """
    asked_by = f"Asked for by {origin.actor}, {origin.source.label}." if origin.actor else ""
    with editing() as now:
        refuse_during_maintenance(now)
        return runs.plan_manual_runs(_list_schedules(public_ids), now=now, message=asked_by)


def _diff(before: Schedule, after: Schedule) -> dict[str, list[object]]:
    return _diff_values(before, {field: getattr(after, field) for field in EDITABLE})


def _diff_values(before: Schedule, values: Mapping[str, object]) -> dict[str, list[object]]:
    old = {field: getattr(before, field) for field in values}
    return {field: [_plain(old[field]), _plain(new)] for field, new in values.items() if old[field] != new}


def _record_pause(
    schedules: Iterable[Schedule], values: Mapping[str, object], *, action: Action, origin: Origin, at: datetime
) -> None:
    """Record what these values change, in one step for all that had the same before."""
    alike: dict[str, list[Schedule]] = {}
    for schedule in schedules:
        alike.setdefault(repr(_diff_values(schedule, values)), []).append(schedule)
    for group in alike.values():
        if diff := _diff_values(group[0], values):
            record_changes(group, action=action, origin=origin, at=at, diff=diff)


def _list_schedules(public_ids: Iterable[str] | None) -> list[Schedule]:
    if public_ids is None:
        return list(Schedule.objects.all())
    wanted = list(public_ids)
    # PostgreSQL refuses to look for a text with a NUL in it
    possible = [public_id for public_id in wanted if "\0" not in public_id]
    found = {s.name: s for s in Schedule.objects.filter(name__in=possible)}
    for public_id in wanted:
        if public_id not in found:
            raise UnknownScheduleError(public_id)
    return sorted(found.values(), key=lambda schedule: schedule.pk)


def _update(schedules: Sequence[Schedule], **values: object) -> None:
    for start in range(0, len(schedules), 500):
        part = schedules[start : start + 500]
        Schedule.objects.filter(pk__in=[schedule.pk for schedule in part]).update(**values)
        for schedule in part:
            for field, value in values.items():
                setattr(schedule, field, value)


def _save(schedule: Schedule, *, update_fields: Sequence[str] | None = None) -> None:
    # Our record of changes tells beat; the library's alarm is for saves that bypass it
    schedule.no_changes = True
    schedule.save(update_fields=update_fields)
    schedule.no_changes = False


def _projection(cron_text: str, zone: str) -> CrontabSchedule:
    """Return the crontab row for the five fields of a cron text and a zone, made where there is none."""
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    fields = CronExpression.parse(cron_text).five_field_projection()
    values = dict(zip(names, fields, strict=True), timezone=zone)
    found = CrontabSchedule.objects.filter(**values).first()
    # bulk_create sends no signal: the library's beat would take one for a change of every task
    return found or CrontabSchedule.objects.bulk_create([CrontabSchedule(**values)])[0]


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | list) else str(value)
