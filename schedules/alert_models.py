"""The tables of alerts: who is told, what is the matter, and the messages on their way."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import models

from schedules.alert_rules import AlertEvent
from schedules.alert_sender import AlertUrlError, check_url, mask_url
from schedules.alert_texts import TemplateError, check_template
from schedules.validators import validate_tags

SHORTEST_QUIET = timedelta(minutes=1)
LONGEST_QUIET = timedelta(days=7)

#: What people read, in the order of the rules
EVENT_LABELS = {
    AlertEvent.QRS_UNREACHABLE: "Qlik Sense is out of reach",
    AlertEvent.CERTIFICATE: "A certificate for Qlik Sense expires",
    AlertEvent.START_FAILED: "A start failed",
    AlertEvent.RELOAD_FAILED: "A reload failed or was aborted",
    AlertEvent.MISSED: "A run was missed",
    AlertEvent.LATE: "A run started late",
    AlertEvent.SLOW: "A reload takes long",
}
EVENT_CHOICES = [(event.value, label) for event, label in EVENT_LABELS.items()]


def validate_alert_url(url: str) -> None:
    """Refuse what apprise cannot send to; what is said of it does not repeat it."""
    try:
        check_url(url)
    except AlertUrlError as error:
        raise ValidationError(str(error), code="alert_url") from error


def validate_alert_events(events: object) -> None:
    """Refuse what is no list of events."""
    if not isinstance(events, list) or not set(map(str, events)) <= set(AlertEvent):
        known = ", ".join(AlertEvent)
        raise ValidationError(f"{events!r} is not a list of events. Possible are {known}.", code="alert_events")


def validate_alert_template(template: str) -> None:
    """Refuse a template that no message can be made with."""
    try:
        check_template(template)
    except TemplateError as error:
        raise ValidationError(str(error), code="alert_template") from error


def validate_quiet_time(quiet: timedelta) -> None:
    """Refuse a quiet time of less than a minute or more than a week."""
    if not SHORTEST_QUIET <= quiet <= LONGEST_QUIET:
        raise ValidationError(f"{quiet} cannot be the quiet time. Use 1 minute to 7 days.", code="quiet_time")


class AlertChannel(models.Model):
    """Somebody who is told, by one service."""

    name = models.CharField(max_length=100, unique=True, help_text="What people call it, such as BI team by mail.")
    # A secret. No page, message or log has more of it than `masked_url`
    url = models.CharField("apprise URL", max_length=2000, validators=[validate_alert_url])
    is_enabled = models.BooleanField("enabled", default=True)
    events = models.JSONField(default=list, blank=True, validators=[validate_alert_events], help_text="None: all.")
    tags = models.JSONField(default=list, blank=True, validators=[validate_tags])
    schedules = models.ManyToManyField("schedules.Schedule", blank=True, related_name="+")
    quiet_time = models.DurationField(
        default=timedelta(hours=1),
        validators=[validate_quiet_time],
        help_text="So long nothing is told again of what goes on.",
    )
    tells_recovery = models.BooleanField("tell when it is well again", default=True)
    title_template = models.CharField(max_length=300, default="", blank=True, validators=[validate_alert_template])
    body_template = models.TextField(max_length=4000, default="", blank=True, validators=[validate_alert_template])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def masked_url(self) -> str:
        """What may be shown of the URL."""
        return mask_url(self.url)


class AlertCondition(models.Model):
    """Something that is the matter with a schedule or the site, or was; it copies the names that messages need."""

    event = models.CharField(max_length=20, choices=EVENT_CHOICES)
    subject = models.CharField(max_length=500)
    name = models.CharField(max_length=1000, blank=True)
    schedule_pk = models.BigIntegerField(null=True)
    schedule_name = models.CharField("schedule id", max_length=200, blank=True)
    qlik_task_id = models.CharField("Qlik task id", max_length=36, blank=True)
    zone = models.CharField(max_length=64, default="UTC")
    # Of the last time: the run, its state, when it was due
    run_id = models.UUIDField(null=True)
    state = models.CharField(max_length=11, blank=True)
    due_at = models.DateTimeField(null=True)
    what = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    since_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    is_settled = models.BooleanField(default=False, help_text="It has ended, and everyone knows.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "subject"], condition=models.Q(ended_at__isnull=True), name="alert_condition_open_once"
            ),
        ]
        indexes = [
            # What each look begins with: what is open, or has somebody left to tell. It is a handful of all
            models.Index(fields=["is_settled", "event"], name="alert_condition_unsettled"),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}: {self.name}"


class AlertTelling(models.Model):
    """What a channel has been told of a condition."""

    condition = models.ForeignKey(AlertCondition, on_delete=models.CASCADE, related_name="tellings", db_index=False)
    channel_key = models.CharField(max_length=40)
    told_at = models.DateTimeField()
    told_count = models.PositiveIntegerField()
    is_done = models.BooleanField(default=False, help_text="It has been told of the end, too.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["condition", "channel_key"], name="alert_telling_once"),
        ]

    def __str__(self) -> str:
        return f"{self.channel_key} knows of {self.condition_id}"


class AlertMessage(models.Model):
    """A message to a channel: on its way, sent, or given up."""

    class State(models.TextChoices):
        PENDING = "pending", "waits"
        SENDING = "sending", "being sent"
        SENT = "sent", "sent"
        FAILED = "failed", "given up"

    # Not a foreign key: the message outlives its channel, and those of the environment have no row
    channel_key = models.CharField(max_length=40)
    channel_name = models.CharField("channel", max_length=100)
    event = models.CharField(max_length=20, choices=EVENT_CHOICES)
    is_recovery = models.BooleanField("well again", default=False)
    title = models.CharField(max_length=300)
    body = models.TextField()
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    created_at = models.DateTimeField("written")
    next_try_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=200, default="", blank=True)
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField("sent", null=True)
    failed_at = models.DateTimeField("last failed", null=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # What is to be sent, the oldest first; and which channels have messages that could not be sent
            models.Index(fields=["state", "created_at"], name="alert_message_by_state"),
            # What a channel was sent lately, and whether anything since its last failure
            models.Index(fields=["channel_key", "created_at"], name="alert_message_by_channel"),
        ]

    def __str__(self) -> str:
        return self.title


class AlertSighting(models.Model):
    """A run that counted for an event, so that it does not count again; kept for a day."""

    run_id = models.UUIDField(default=uuid.uuid4)
    event = models.CharField(max_length=20)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run_id", "event"], name="alert_sighting_once"),
        ]
        indexes = [
            # What is old enough to be forgotten
            models.Index(fields=["seen_at"], name="alert_sighting_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.run_id}"


class AlertWatch(models.Model):
    """How far the ledger has been looked through for what is the matter: one row.

    `looks` is the fence: of two that look at the same time one finds another number and writes nothing.
    """

    looks = models.BigIntegerField(default=0)
    seen_through = models.DateTimeField(null=True)
    slow_look_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"looked through up to {self.seen_through:%Y-%m-%d %H:%M:%S} UTC" if self.seen_through else "not looked"
