"""The tables: schedules, the ledger of their runs, the record of changes, and the lease of the planner."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models
from django_celery_beat.models import PeriodicTask

from qlik.execution import ExecutionStatus

# Django looks for models here
from schedules.alert_models import (
    AlertChannel,
    AlertCondition,
    AlertMessage,
    AlertSighting,
    AlertTelling,
    AlertWatch,
)
from schedules.cron import CronExpression
from schedules.policies import Misfire, Overlap
from schedules.timetable import Timetable, jitter_offset, parse_dates
from schedules.validators import (
    validate_cron,
    validate_dates,
    validate_grace,
    validate_jitter,
    validate_max_attempts,
    validate_max_runs,
    validate_period,
    validate_public_id,
    validate_retry_deadline,
    validate_tags,
    validate_target,
    validate_target_property,
    validate_target_text,
    validate_task_of_schedule,
    validate_time_zone,
)

__all__ = [
    "START_RUNS_TASK",
    "TIMETABLE_COLUMNS",
    "UNSCHEDULED",
    "Absence",
    "AlertChannel",
    "AlertCondition",
    "AlertMessage",
    "AlertSighting",
    "AlertTelling",
    "AlertWatch",
    "Lease",
    "Maintenance",
    "QrsSite",
    "ReadableColumn",
    "Run",
    "Schedule",
    "ScheduleChange",
    "from_epoch",
    "make_timetable",
]

#: Name of the Celery task that starts runs. Beat publishes it with the runs' ids.
START_RUNS_TASK = "schedules.start_runs"
#: Name of the Celery task that reads which tasks Qlik Sense has
READ_TASKS_TASK = "schedules.read_tasks"


if TYPE_CHECKING:
    Column = models.Field[Any, Any]
    TextColumn = models.CharField[Any, Any]
    DurationColumn = models.DurationField[Any, Any]
    DateTimeColumn = models.DateTimeField[Any, Any]
else:
    Column, TextColumn = models.Field, models.CharField
    DurationColumn, DateTimeColumn = models.DurationField, models.DateTimeField


class ReadableColumn(Column):
    """Reads as None where a hand has put something else than this kind of value into it.

    SQLite keeps any text in any column, and the reading of one such row would fail for a whole list. None is refused by
    validation, so the row is shown as broken. Migrations know the plain field: the column is the same.
    """

    #: What SQLite says of a sound value
    sound: ClassVar[str]

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Select the column where its value is sound."""
        if compiler.connection.vendor != "sqlite":
            return sql, params
        return f"CASE WHEN {self.sound % sql} THEN {sql} END", [*params, *params]

    def deconstruct(self) -> Any:
        """Be a field of Django's own."""
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.get_internal_type()}", args, kwargs


class ReadableCharField(ReadableColumn, TextColumn):
    sound = "typeof(%s) = 'text'"


class ReadableJSONField(ReadableColumn, models.JSONField):
    sound = "json_valid(%s)"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Read what is there; nearly always it is an empty list, and there may be a hundred thousand of them."""
        return [] if value == "[]" else super().from_db_value(value, expression, connection)


class ReadableDurationField(ReadableColumn, DurationColumn):
    sound = "typeof(%s) = 'integer'"


class ReadableDateTimeField(ReadableColumn, DateTimeColumn):
    sound = "datetime(%s) IS NOT NULL"


class Schedule(PeriodicTask):
    """When to start a Qlik Sense task: the v4 resource.

    What the parent row means here: `name` is the public id, `enabled` says whether the schedule is started, and
    `crontab` is the five-field projection of `cron_schedule` and `timezone`, for tools that read
    django-celery-beat's tables. When to run is decided by `cron_schedule` alone.
    """

    class StartupState(models.TextChoices):
        START = "start", "start"
        STARTED = "started", "started"
        STOP = "stop", "stop"
        STOPPED = "stopped", "stopped"

    STARTING_STATES: ClassVar = (StartupState.START, StartupState.STARTED)

    # The default reverse name would replace PeriodicTask.schedule, by which beat computes when a task is due.
    # Protected, because deleting a crontab deletes the library's tasks that use it.
    periodictask_ptr = models.OneToOneField(
        PeriodicTask, on_delete=models.PROTECT, parent_link=True, primary_key=True, related_name="qlik_schedule"
    )
    title = ReadableCharField("name", max_length=1000, help_text="What people call it; need not be unique.")
    cron_schedule = ReadableCharField(
        "cron expression",
        max_length=600,
        validators=[validate_cron],
        help_text="[second] minute hour day-of-month month day-of-week, such as 0 6 * * 1-5.",
    )
    timezone = ReadableCharField("time zone", max_length=64, default="UTC", validators=[validate_time_zone])
    qlik_task_id = ReadableCharField(
        "Qlik task id",
        max_length=36,
        validators=[validate_task_of_schedule],
        help_text="The GUID of the task to start, or - for only those with the tag or the custom property.",
    )
    target_tag = ReadableCharField(
        "all tasks with the tag",
        max_length=255,
        default="",
        blank=True,
        validators=[validate_target_text],
        help_text="Of Qlik Sense, not of schedules.",
    )
    target_property = ReadableCharField(
        "all tasks with the custom property",
        max_length=600,
        default="",
        blank=True,
        validators=[validate_target_property],
        help_text="Name=Value, such as Department=Finance.",
    )
    startup_state = models.CharField(
        max_length=7,
        choices=StartupState,
        default=StartupState.STARTED,
        help_text="The state of a new schedule; after a restart too where BUTLER_START_STATE is startup.",
    )
    tags = ReadableJSONField(default=list, blank=True, validators=[validate_tags])
    created_at = models.DateTimeField("created", null=True, blank=True, editable=False)
    armed_at = ReadableDateTimeField(
        editable=False, help_text="Occurrences up to this instant belong to an earlier state of the schedule."
    )
    misfire = models.CharField(
        max_length=4,
        choices=[(choice.value, choice.value) for choice in Misfire],
        default=Misfire.ONCE.value,
        help_text="Missed by more than the grace: run once, run all, or skip.",
    )
    misfire_grace = ReadableDurationField(
        default=timedelta(seconds=60),
        validators=[validate_grace],
        help_text="Up to here, late is not missed.",
    )
    starts_at = models.DateTimeField(null=True, blank=True, help_text="No occurrence before this instant.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="No occurrence after this instant.")
    max_runs = models.PositiveIntegerField(
        "greatest number of runs",
        null=True,
        blank=True,
        validators=[validate_max_runs],
        help_text="After so many runs there are no more.",
    )
    runs_planned = models.PositiveIntegerField(
        default=0, editable=False, help_text="Runs planned since the greatest number was last set."
    )
    jitter = ReadableDurationField(
        default=timedelta(0),
        validators=[validate_jitter],
        help_text="Each start is put off by a part of this that is the same every time, so that schedules spread out.",
    )
    excluded_dates = ReadableJSONField(
        default=list,
        blank=True,
        validators=[validate_dates],
        help_text="Days without occurrences, by the calendar of the schedule's zone: 2026-12-24, "
        "or 2026-12-24/2027-01-01 for a range.",
    )
    overlap = models.CharField(
        max_length=5,
        choices=[(choice.value, choice.value) for choice in Overlap],
        default=Overlap.ALLOW.value,
        help_text="While the Qlik task still runs, whoever started it: start all the same, skip, or let one run wait.",
    )
    retry_deadline = ReadableDurationField(
        default=timedelta(hours=1),
        validators=[validate_retry_deadline],
        help_text="How long a start that surely did not happen is tried again, from when it could first be tried.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        "greatest number of attempts",
        null=True,
        blank=True,
        validators=[validate_max_attempts],
        help_text="Empty: as many as fit before the deadline.",
    )
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Occurrences up to this instant are skipped.")
    pause_reason = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        ordering = ["pk"]
        verbose_name = "schedule"

    def __str__(self) -> str:
        return str(self.title)

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Check that the public id is free.

        The parent also asks for a crontab here. Ours is derived when the row is saved, so only the check of
        Django itself is wanted.
        """
        models.Model.validate_unique(self, exclude)

    def clean(self) -> None:
        """Check the public id, and values that depend on one another; the parent's own columns keep their own rules."""
        super().clean()
        if self.name:
            validate_public_id(self.name)
        validate_period(self.starts_at, self.ends_at)
        validate_target(qlik_task_id=self.qlik_task_id, tag=self.target_tag, custom_property=self.target_property)

    @property
    def expression(self) -> CronExpression:
        """The parsed cron text; raises CronSyntaxError where the row was broken by hand."""
        return CronExpression.parse(self.cron_schedule)

    @property
    def starts_with_service(self) -> bool:
        """Whether the startup state asks for the schedule to be started."""
        return self.startup_state in self.STARTING_STATES

    @property
    def problem(self) -> str:
        """Why no time can be computed for this row; empty for a sound one."""
        columns = (field for field in self._meta.concrete_fields if isinstance(field, ReadableColumn))
        if unreadable := [field.name for field in columns if getattr(self, field.attname) is None]:
            return f"What stands in {', '.join(unreadable)} cannot be read. Edit the schedule, or delete it."
        try:
            # The crontab is derived, and checking it would ask the database
            self.clean_fields(exclude={"crontab"})
            self.clean()
        except ValidationError as error:
            return " ".join(error.messages)
        return ""

    @property
    def timetable(self) -> Timetable:
        """When it is due; raises ValueError, LookupError and the like where the row was broken by hand."""
        return make_timetable({column: getattr(self, column) for column in TIMETABLE_COLUMNS})

    def is_paused(self, *, at: datetime) -> bool:
        """Return whether occurrences at this instant are skipped because of a pause."""
        return self.paused_until is not None and at <= self.paused_until

    def next_due_at(self, *, after: datetime) -> datetime | None:
        """Return the next occurrence that is to run strictly after `after`, in UTC.

        None when stopped, broken or never again.
        """
        if not self.enabled or (self.max_runs is not None and self.runs_planned >= self.max_runs):
            return None
        if self.paused_until is not None:
            after = max(after, self.paused_until)
        try:
            due = self.timetable.next_timestamp(after.timestamp())
        except (LookupError, ValueError, TypeError, AttributeError, OSError):
            return None
        return None if due is None else from_epoch(due)


#: What decides when a schedule is due
TIMETABLE_COLUMNS = ("name", "cron_schedule", "timezone", "jitter", "starts_at", "ends_at", "excluded_dates")


def make_timetable(row: Mapping[str, Any]) -> Timetable:
    """Return the timetable of a schedule's row; raises ValueError, LookupError and the like for a broken one.

    `row` has TIMETABLE_COLUMNS.
    """
    starts_at, ends_at = row["starts_at"], row["ends_at"]
    return Timetable(
        expression=CronExpression.parse(row["cron_schedule"]),
        zone=ZoneInfo(row["timezone"]),
        offset=jitter_offset(row["name"], seconds=jitter) if (jitter := row["jitter"].total_seconds()) else 0,
        starts_at=-inf if starts_at is None else starts_at.timestamp(),
        ends_at=inf if ends_at is None else ends_at.timestamp(),
        excluded=parse_dates(row["excluded_dates"]),
    )


#: What is asked for by hand, made up for, or comes once more: few of the ledger's runs
UNSCHEDULED = ~models.Q(reason="scheduled")


class Run(models.Model):
    """One line of the ledger: an occurrence of a schedule, or a start that somebody asked for.

    It outlives its schedule, so it points to it without a constraint and keeps the names it needs.
    """

    class Reason(models.TextChoices):
        SCHEDULED = "scheduled", "scheduled"
        CATCH_UP = "catch-up", "catch-up"
        MANUAL = "manual", "by hand"
        BACKFILL = "backfill", "backfill"
        REPEATED = "repeated", "repeated, the clock was set back"
        API = "api", "start-task API"

    class State(models.TextChoices):
        PLANNED = "planned", "planned"
        QUEUED = "queued", "queued"
        CLAIMED = "claimed", "claimed"
        RETRYING = "retrying", "retrying, QRS was not reached"
        WAITING = "waiting", "waiting for the task to end"
        UNSURE = "unsure", "unsure, QRS is being asked"
        STARTED = "started", "started"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        ABORTED = "aborted", "aborted"
        SKIPPED = "skipped", "skipped"
        REFUSED = "refused", "refused"
        UNREACHABLE = "unreachable", "unreachable"
        UNKNOWN = "unknown", "unknown"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Empty, as its name is, for a start that no schedule asked for
    schedule = models.ForeignKey(
        Schedule, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="runs", null=True
    )
    schedule_name = models.CharField("schedule id", max_length=200, blank=True)
    qlik_task_id = models.CharField("Qlik task id", max_length=36)
    due_at = models.DateTimeField("due")
    reason = models.CharField(max_length=9, choices=Reason)
    repeat = models.PositiveIntegerField(
        default=0, help_text="How often the clock had been set back, where the occurrence came once more because of it."
    )
    state = models.CharField(max_length=11, choices=State, default=State.PLANNED)
    planned_at = models.DateTimeField()
    queued_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    claim_renewed_at = models.DateTimeField(null=True, editable=False, help_text="When its worker last held it.")
    called_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, help_text="When a run that retries or waits is sent again.")
    tried_from = models.DateTimeField(
        null=True, help_text="From when on it could be tried, where that is later than due and planned."
    )
    closed_at = models.DateTimeField(null=True, help_text="When it came into its final state.")
    in_doubt_since = models.DateTimeField(
        null=True, help_text="When QRS was called first of which it is not known yet whether a reload came of it."
    )
    silent_at = models.DateTimeField(null=True, help_text="When QRS, asked about that call, knew of no reload first.")
    qrs_session = models.UUIDField("QRS session", null=True)
    # What Sense says of the reload, as far as it has been followed
    reload_status = models.PositiveSmallIntegerField(
        null=True, choices=[(status.value, status.title) for status in ExecutionStatus if status >= 0]
    )
    reload_started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField("reload ended", null=True)
    reload_duration = models.DurationField(null=True)
    reload_attempts = models.PositiveSmallIntegerField(default=0, help_text="Sense's own, its retries among them.")
    node = models.CharField(max_length=200, default="", blank=True)
    script_log = models.UUIDField("script log reference", null=True)
    reload_details = models.TextField(default="", blank=True)
    occurrences = models.PositiveIntegerField(
        default=1, help_text="More than one where a row stands for all that was skipped from its due instant on."
    )
    message = models.TextField(default="", blank=True)
    worker = models.CharField(max_length=200, default="", blank=True)

    #: Of a run that was asked for: whether somebody had asked for it a moment before
    was_there = False

    class Meta:
        ordering = ["-due_at", "-planned_at"]
        indexes = [
            # What became of a schedule's occurrences. That each has one row is in the primary key, see occurrence_key
            models.Index(fields=["schedule", "due_at"], name="run_by_schedule"),
            # What has come to its end since somebody looked. SQLite sees that a comparison implies the condition
            models.Index(fields=["closed_at"], name="run_by_end", condition=models.Q(closed_at__isnull=False)),
            # What a worker has had for too long. The insertion of runs, of which many are due at once, leaves it alone
            models.Index(
                fields=["planned_at"],
                name="run_without_end",
                condition=models.Q(closed_at__isnull=True, claimed_at__isnull=False),
            ),
            # Whose session it is that QRS tells of
            models.Index(fields=["qrs_session"], name="run_by_session", condition=models.Q(qrs_session__isnull=False)),
            # The calls whose sessions may still turn up: few, whatever the size of the ledger
            models.Index(
                fields=["in_doubt_since"], name="run_in_doubt", condition=models.Q(in_doubt_since__isnull=False)
            ),
            # The history, newest first
            models.Index(fields=["-due_at", "-planned_at"], name="run_history"),
            # Beat looks for rows to publish, the sweeper for rows that got stuck. Without a condition: SQLite uses a
            # conditional index only for a query that repeats the condition, word for word
            models.Index(fields=["state", "due_at"], name="run_by_state"),
            # The history of what was not scheduled, which is rare; an index of all runs would cost each insertion
            models.Index(fields=["-due_at", "-planned_at"], name="run_unscheduled", condition=UNSCHEDULED),
        ]

    def __str__(self) -> str:
        name = self.schedule_name or f"task {self.qlik_task_id}"
        return f"{name} due {self.due_at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def may_be_running(self) -> bool:
        """Whether Qlik Sense has begun the reload, and nobody has seen its end."""
        return self.state == self.State.STARTED and self.ended_at is None

    @property
    def lateness(self) -> timedelta | None:
        """From the due instant to the call of QRS; None when QRS was not called."""
        return None if self.called_at is None else self.called_at - self.due_at

    @staticmethod
    def occurrence_key(*, schedule_pk: int, due: int, repeat: int = 0) -> str:
        """Return the hexadecimal key of the run for the occurrence at `due` (epoch seconds): the same for everyone.

        `repeat` counts how often the clock had been set back where that makes an occurrence one of its own. It is a
        UUID of version 8 (RFC 9562) that begins with the instant: the keys of a pass lie together in the index, and a
        ledger of millions of rows is as quick as an empty one.
        """
        text = f"{schedule_pk}@{due}#{repeat}" if repeat else f"{schedule_pk}@{due}"
        digest = sha1(_OCCURRENCES.bytes + text.encode(), usedforsecurity=False).hexdigest()
        return f"{due:012x}8{digest[13:16]}{_VARIANT[digest[16]]}{digest[17:32]}"

    @staticmethod
    def task_key(occurrence_key: str, task_id: str) -> str:
        """Return the hexadecimal key of the run of one task where the schedule of the occurrence aims at several.

        It begins with the instant, too.
        """
        digest = sha1(f"{occurrence_key} {task_id}".encode(), usedforsecurity=False).hexdigest()
        return f"{occurrence_key[:12]}8{digest[13:16]}{_VARIANT[digest[16]]}{digest[17:32]}"

    @staticmethod
    def backfill_id(*, schedule_pk: int, due: int, task_id: str = "", number: int = 0) -> uuid.UUID:
        """Return the key of the run that makes up for the occurrence at `due` (epoch seconds).

        `task_id` tells the runs of several tasks apart, and `number` counts those before it that were not started.
        """
        text = f"backfill {schedule_pk}@{due}"
        text += f" {task_id}" if task_id else ""
        return uuid.uuid5(_OCCURRENCES, f"{text} #{number}" if number else text)


# The first hexadecimal digit of a UUID's fourth group has two bits of its own
_VARIANT = {digit: f"{int(digit, 16) & 0b0011 | 0b1000:x}" for digit in "0123456789abcdef"}
_OCCURRENCES = uuid.UUID("4f1c2a52-7f0f-5d3b-9a0e-0a8f8d9e6c11")


class ScheduleChange(models.Model):
    """Who changed which schedule, when and how. Append-only; beat reads it to learn what to look at again."""

    class Action(models.TextChoices):
        CREATE = "create", "created"
        EDIT = "edit", "edited"
        START = "start", "started"
        STOP = "stop", "stopped"
        PAUSE = "pause", "paused"
        RESUME = "resume", "resumed"
        DELETE = "delete", "deleted"
        MAINTENANCE = "maintenance", "maintenance"
        RETARGET = "retarget", "given other tasks"

    class Source(models.TextChoices):
        API = "api", "API"
        ADMIN = "admin", "admin"
        COMMAND = "command", "command line"
        STARTUP = "startup", "start of the service"
        QLIK = "qlik", "Qlik Sense"

    # 0 and an empty name stand for the whole site
    schedule_pk = models.BigIntegerField()
    schedule_name = models.CharField("schedule id", max_length=200, blank=True)
    action = models.CharField(max_length=11, choices=Action)
    source = models.CharField(max_length=7, choices=Source)
    actor = models.CharField(max_length=200, blank=True)
    diff = models.JSONField(default=dict)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # What happened to one schedule
            models.Index(fields=["schedule_pk", "-id"], name="change_by_schedule"),
            # Which schedule had an id that is not there any more
            models.Index(fields=["schedule_name"], name="change_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_name} {self.get_action_display()}"


def make_installation_id() -> str:
    """Return an id that no other installation has."""
    return uuid.uuid4().hex[:12]


class Lease(models.Model):
    """The leader's right to plan, and how far it has planned: one row.

    Whoever plans or edits locks this row first, so edits and planning passes follow one another, whatever the
    database. `token` is the fence: a beat that lost the lease finds another number and writes nothing.
    """

    token = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=200, blank=True)
    renewals = models.BigIntegerField(default=0)
    renewed_at = models.DateTimeField(null=True)
    planned_through = models.DateTimeField(null=True)
    # How often the clock was set back, and after and up to which instant occurrences come a second time since
    clock_sets = models.IntegerField(default=0)
    repeats_after = models.DateTimeField(null=True)
    repeats_until = models.DateTimeField(null=True)
    # The edition of the time zone database that the leader computes with
    zone_data = models.CharField(max_length=16, blank=True, default="")
    # What tells this database from others on the same Redis; made once
    installation = models.CharField(max_length=16, default=make_installation_id, editable=False)

    def __str__(self) -> str:
        return f"lease {self.token} of {self.holder or 'nobody'}"


class Absence(models.Model):
    """A time in which nobody planned, and how far what was missed in it has been settled.

    Schedules are settled in the order of their keys: all before `settled_pk` are, and that one is too, but only up to
    `settled_through` where there is such an instant. The row is deleted when all are.
    """

    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    settled_pk = models.BigIntegerField(default=0)
    settled_through = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"absence from {self.from_at:%Y-%m-%d %H:%M:%S} to {self.until_at:%Y-%m-%d %H:%M:%S} UTC"


class TaskTurn(models.Model):
    """Which run may start a Qlik task whose runs must not overlap, until that run is closed: one row for each task."""

    qlik_task_id = models.CharField(max_length=36, primary_key=True)
    run_id = models.UUIDField()

    def __str__(self) -> str:
        return f"turn of run {self.run_id} to start task {self.qlik_task_id}"


class QrsSite(models.Model):
    """What is known about QRS itself, shared by all workers: one row.

    The circuit breaker: when `failures` calls in a row have not reached QRS, nobody calls it until `wait_until`, and
    then one does to find out.
    """

    failures = models.PositiveIntegerField(default=0)
    wait_until = models.DateTimeField(null=True)
    unreachable_since = models.DateTimeField(null=True)
    last_error = models.TextField(default="")
    # One worker at a time follows reloads
    follower = models.CharField(max_length=200, default="")
    follower_until = models.DateTimeField(null=True)
    # The fence: it changes with the worker
    follower_token = models.BigIntegerField(default=0)
    followed_at = models.DateTimeField(null=True)
    clock_offset = models.DurationField(null=True, help_text="How far QRS's clock was ahead when it was asked last.")

    def __str__(self) -> str:
        return f"QRS, unreachable since {self.unreachable_since:%Y-%m-%d %H:%M:%S} UTC" if self.failures else "QRS"


class Maintenance(models.Model):
    """A time in which nothing is started on the whole site, whatever the schedules say."""

    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it ended or is to end; empty: open.")
    reason = models.CharField(max_length=200, default="", blank=True)
    actor = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        ordering = ["-began_at"]
        verbose_name_plural = "maintenance"

    def __str__(self) -> str:
        return f"maintenance since {self.began_at:%Y-%m-%d %H:%M:%S} UTC"

    @classmethod
    def current_at(cls, now: datetime) -> Maintenance | None:
        """Return the maintenance that the site is in at `now`; None when it is in none."""
        is_open = models.Q(ended_at=None) | models.Q(ended_at__gt=now)
        return cls.objects.filter(is_open, began_at__lte=now).first()


def from_epoch(seconds: float) -> datetime:
    """Return the instant `seconds` after 1970 in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


class QlikTask(models.Model):
    """A reload task as Qlik Sense last told of it; one that is not there any more stays, with the moment it was missed.

    Everything here is only as fresh as `seen_at`: it serves people's choices and warnings, and what tags stand for.
    """

    # In lower case, as QRS writes it
    id = models.CharField(primary_key=True, max_length=36, verbose_name="Qlik task id")
    name = models.CharField(max_length=1000)
    app_id = models.CharField(max_length=36, default="", blank=True)
    app_name = models.CharField("app", max_length=1000, default="", blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    tags = models.JSONField(default=list, blank=True)
    # Pairs of name and value; a name may come more than once
    custom_properties = models.JSONField(default=list, blank=True)
    max_retries = models.PositiveIntegerField("retries of Sense", default=0)
    last_status = models.PositiveSmallIntegerField(
        null=True, choices=[(status.value, status.title) for status in ExecutionStatus if status >= 0]
    )
    last_ended_at = models.DateTimeField("last reload ended", null=True)
    previous_name = models.CharField(max_length=1000, default="", blank=True)
    renamed_at = models.DateTimeField("seen renamed", null=True)
    seen_at = models.DateTimeField("last seen")
    gone_at = models.DateTimeField("missed since", null=True)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = "Qlik task"

    def __str__(self) -> str:
        return self.name
