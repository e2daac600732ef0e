# The schema as it was first released

import datetime
import uuid

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import schedules.validators


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("token", models.BigIntegerField(default=0)),
                ("holder", models.CharField(blank=True, max_length=200)),
                ("renewals", models.BigIntegerField(default=0)),
                ("renewed_at", models.DateTimeField(null=True)),
                ("planned_through", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "periodictask_ptr",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        parent_link=True,
                        primary_key=True,
                        related_name="qlik_schedule",
                        serialize=False,
                        to="django_celery_beat.periodictask",
                    ),
                ),
                (
                    "title",
                    models.CharField(
                        help_text="What people call it; need not be unique.", max_length=1000, verbose_name="name"
                    ),
                ),
                (
                    "cron_schedule",
                    models.CharField(
                        help_text="[second] minute hour day-of-month month day-of-week, such as 0 6 * * 1-5.",
                        max_length=600,
                        validators=[schedules.validators.validate_cron],
                        verbose_name="cron expression",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        default="UTC",
                        max_length=64,
                        validators=[schedules.validators.validate_time_zone],
                        verbose_name="time zone",
                    ),
                ),
                (
                    "qlik_task_id",
                    models.CharField(
                        help_text="The GUID of the task to start.",
                        max_length=36,
                        validators=[schedules.validators.validate_task_id],
                        verbose_name="Qlik task id",
                    ),
                ),
                (
                    "startup_state",
                    models.CharField(
                        choices=[("start", "start"), ("started", "started"), ("stop", "stop"), ("stopped", "stopped")],
                        default="started",
                        help_text="The state of a new schedule; after a restart too where BUTLER_START_STATE is startup.",
                        max_length=7,
                    ),
                ),
                ("tags", models.JSONField(blank=True, default=list, validators=[schedules.validators.validate_tags])),
                ("created_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="created")),
                (
                    "armed_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="Occurrences up to this instant belong to an earlier state of the schedule.",
                    ),
                ),
                (
                    "misfire",
                    models.CharField(
                        choices=[("once", "once"), ("all", "all"), ("skip", "skip")],
                        default="once",
                        help_text="Missed by more than the grace: run once, run all, or skip.",
                        max_length=4,
                    ),
                ),
                (
                    "misfire_grace",
                    models.DurationField(
                        default=datetime.timedelta(seconds=60),
                        help_text="Up to here, late is not missed.",
                        validators=[django.core.validators.MinValueValidator(datetime.timedelta(0))],
                    ),
                ),
            ],
            options={
                "verbose_name": "schedule",
                "ordering": ["pk"],
            },
            bases=("django_celery_beat.periodictask",),
        ),
        migrations.CreateModel(
            name="ScheduleChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("schedule_pk", models.BigIntegerField()),
                ("schedule_name", models.CharField(max_length=200, verbose_name="schedule id")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("create", "created"),
                            ("edit", "edited"),
                            ("start", "started"),
                            ("stop", "stopped"),
                            ("delete", "deleted"),
                        ],
                        max_length=6,
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("api", "API"),
                            ("admin", "admin"),
                            ("command", "command line"),
                            ("startup", "start of the service"),
                        ],
                        max_length=7,
                    ),
                ),
                ("actor", models.CharField(blank=True, max_length=200)),
                ("diff", models.JSONField(default=dict)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["schedule_pk", "-id"], name="change_by_schedule")],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("schedule_name", models.CharField(max_length=200, verbose_name="schedule id")),
                ("qlik_task_id", models.CharField(max_length=36, verbose_name="Qlik task id")),
                ("due_at", models.DateTimeField(verbose_name="due")),
                (
                    "reason",
                    models.CharField(
                        choices=[("scheduled", "scheduled"), ("catch-up", "catch-up"), ("manual", "by hand")],
                        max_length=9,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planned", "planned"),
                            ("queued", "queued"),
                            ("claimed", "claimed"),
                            ("started", "started"),
                            ("skipped", "skipped"),
                            ("refused", "refused"),
                            ("unreachable", "unreachable"),
                            ("unknown", "unknown"),
                        ],
                        default="planned",
                        max_length=11,
                    ),
                ),
                ("planned_at", models.DateTimeField()),
                ("queued_at", models.DateTimeField(null=True)),
                ("claimed_at", models.DateTimeField(null=True)),
                ("called_at", models.DateTimeField(null=True)),
                ("answered_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("qrs_session", models.UUIDField(null=True, verbose_name="QRS session")),
                ("message", models.TextField(blank=True, default="")),
                ("worker", models.CharField(blank=True, default="", max_length=200)),
                (
                    "schedule",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="runs",
                        to="schedules.schedule",
                    ),
                ),
            ],
            options={
                "ordering": ["-due_at", "-planned_at"],
                "indexes": [
                    models.Index(fields=["-due_at", "-planned_at"], name="run_history"),
                    models.Index(
                        condition=models.Q(("state__in", ["planned", "queued", "claimed"])),
                        fields=["state", "due_at"],
                        name="run_open",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("schedule", "due_at", "reason"), name="run_once_per_occurrence")
                ],
            },
        ),
    ]
