# What becomes of a start, the tasks that Sense has, and who is told: attempts, reloads, turns, targets, alerts

import datetime
import uuid

import django.db.models.deletion
from django.db import migrations, models

import schedules.alert_models
import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0002_policies_and_absences"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="What people call it, such as BI team by mail.", max_length=100, unique=True
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        max_length=2000,
                        validators=[schedules.alert_models.validate_alert_url],
                        verbose_name="apprise URL",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "events",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="None: all.",
                        validators=[schedules.alert_models.validate_alert_events],
                    ),
                ),
                ("tags", models.JSONField(blank=True, default=list, validators=[schedules.validators.validate_tags])),
                (
                    "quiet_time",
                    models.DurationField(
                        default=datetime.timedelta(seconds=3600),
                        help_text="So long nothing is told again of what goes on.",
                        validators=[schedules.alert_models.validate_quiet_time],
                    ),
                ),
                ("tells_recovery", models.BooleanField(default=True, verbose_name="tell when it is well again")),
                (
                    "title_template",
                    models.CharField(
                        blank=True,
                        default="",
                        max_length=300,
                        validators=[schedules.alert_models.validate_alert_template],
                    ),
                ),
                (
                    "body_template",
                    models.TextField(
                        blank=True,
                        default="",
                        max_length=4000,
                        validators=[schedules.alert_models.validate_alert_template],
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AlertCondition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("qrs-unreachable", "Qlik Sense is out of reach"),
                            ("certificate", "A certificate for Qlik Sense expires"),
                            ("start-failed", "A start failed"),
                            ("reload-failed", "A reload failed or was aborted"),
                            ("missed", "A run was missed"),
                            ("late", "A run started late"),
                            ("slow", "A reload takes long"),
                        ],
                        max_length=20,
                    ),
                ),
                ("subject", models.CharField(max_length=500)),
                ("name", models.CharField(blank=True, max_length=1000)),
                ("schedule_pk", models.BigIntegerField(null=True)),
                ("schedule_name", models.CharField(blank=True, max_length=200, verbose_name="schedule id")),
                ("qlik_task_id", models.CharField(blank=True, max_length=36, verbose_name="Qlik task id")),
                ("zone", models.CharField(default="UTC", max_length=64)),
                ("run_id", models.UUIDField(null=True)),
                ("state", models.CharField(blank=True, max_length=11)),
                ("due_at", models.DateTimeField(null=True)),
                ("what", models.TextField(blank=True)),
                ("advice", models.TextField(blank=True)),
                ("since_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("count", models.PositiveIntegerField(default=0)),
                ("ended_at", models.DateTimeField(null=True)),
                ("is_settled", models.BooleanField(default=False, help_text="It has ended, and everyone knows.")),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="AlertMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel_key", models.CharField(max_length=40)),
                ("channel_name", models.CharField(max_length=100, verbose_name="channel")),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("qrs-unreachable", "Qlik Sense is out of reach"),
                            ("certificate", "A certificate for Qlik Sense expires"),
                            ("start-failed", "A start failed"),
                            ("reload-failed", "A reload failed or was aborted"),
                            ("missed", "A run was missed"),
                            ("late", "A run started late"),
                            ("slow", "A reload takes long"),
                        ],
                        max_length=20,
                    ),
                ),
                ("is_recovery", models.BooleanField(default=False, verbose_name="well again")),
                ("title", models.CharField(max_length=300)),
                ("body", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "waits"),
                            ("sending", "being sent"),
                            ("sent", "sent"),
                            ("failed", "given up"),
                        ],
                        default="pending",
                        max_length=7,
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="written")),
                ("next_try_at", models.DateTimeField(null=True)),
                ("claimed_at", models.DateTimeField(null=True)),
                ("worker", models.CharField(blank=True, default="", max_length=200)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("sent_at", models.DateTimeField(null=True, verbose_name="sent")),
                ("failed_at", models.DateTimeField(null=True, verbose_name="last failed")),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="AlertSighting",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run_id", models.UUIDField(default=uuid.uuid4)),
                ("event", models.CharField(max_length=20)),
                ("seen_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="AlertTelling",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel_key", models.CharField(max_length=40)),
                ("told_at", models.DateTimeField()),
                ("told_count", models.PositiveIntegerField()),
                ("is_done", models.BooleanField(default=False, help_text="It has been told of the end, too.")),
            ],
        ),
        migrations.CreateModel(
            name="AlertWatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("looks", models.BigIntegerField(default=0)),
                ("seen_through", models.DateTimeField(null=True)),
                ("slow_look_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="QlikTask",
            fields=[
                ("id", models.CharField(max_length=36, primary_key=True, serialize=False, verbose_name="Qlik task id")),
                ("name", models.CharField(max_length=1000)),
                ("app_id", models.CharField(blank=True, default="", max_length=36)),
                ("app_name", models.CharField(blank=True, default="", max_length=1000, verbose_name="app")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("tags", models.JSONField(blank=True, default=list)),
                ("custom_properties", models.JSONField(blank=True, default=list)),
                ("max_retries", models.PositiveIntegerField(default=0, verbose_name="retries of Sense")),
                (
                    "last_status",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "never started"),
                            (1, "triggered"),
                            (2, "started"),
                            (3, "queued"),
                            (4, "abort initiated"),
                            (5, "aborting"),
                            (6, "aborted"),
                            (7, "finished success"),
                            (8, "finished fail"),
                            (9, "skipped"),
                            (10, "retry"),
                            (11, "error"),
                            (12, "reset"),
                            (13, "distribution queue"),
                            (14, "distribution running"),
                        ],
                        null=True,
                    ),
                ),
                ("last_ended_at", models.DateTimeField(null=True, verbose_name="last reload ended")),
                ("previous_name", models.CharField(blank=True, default="", max_length=1000)),
                ("renamed_at", models.DateTimeField(null=True, verbose_name="seen renamed")),
                ("seen_at", models.DateTimeField(verbose_name="last seen")),
                ("gone_at", models.DateTimeField(null=True, verbose_name="missed since")),
            ],
            options={
                "verbose_name": "Qlik task",
                "ordering": ["name", "pk"],
            },
        ),
        migrations.CreateModel(
            name="QrsSite",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("failures", models.PositiveIntegerField(default=0)),
                ("wait_until", models.DateTimeField(null=True)),
                ("unreachable_since", models.DateTimeField(null=True)),
                ("last_error", models.TextField(default="")),
                ("follower", models.CharField(default="", max_length=200)),
                ("follower_until", models.DateTimeField(null=True)),
                ("followed_at", models.DateTimeField(null=True)),
                (
                    "clock_offset",
                    models.DurationField(help_text="How far QRS's clock was ahead when it was asked last.", null=True),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TaskTurn",
            fields=[
                ("qlik_task_id", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="run",
            name="run_once_per_occurrence",
        ),
        migrations.AddField(
            model_name="run",
            name="closed_at",
            field=models.DateTimeField(help_text="When it came into its final state.", null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="ended_at",
            field=models.DateTimeField(null=True, verbose_name="reload ended"),
        ),
        migrations.AddField(
            model_name="run",
            name="next_try_at",
            field=models.DateTimeField(help_text="When a run that retries or waits is sent again.", null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="node",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="run",
            name="reload_attempts",
            field=models.PositiveSmallIntegerField(default=0, help_text="Sense's own, its retries among them."),
        ),
        migrations.AddField(
            model_name="run",
            name="reload_details",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="run",
            name="reload_duration",
            field=models.DurationField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="reload_started_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="reload_status",
            field=models.PositiveSmallIntegerField(
                choices=[
                    (0, "never started"),
                    (1, "triggered"),
                    (2, "started"),
                    (3, "queued"),
                    (4, "abort initiated"),
                    (5, "aborting"),
                    (6, "aborted"),
                    (7, "finished success"),
                    (8, "finished fail"),
                    (9, "skipped"),
                    (10, "retry"),
                    (11, "error"),
                    (12, "reset"),
                    (13, "distribution queue"),
                    (14, "distribution running"),
                ],
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="script_log",
            field=models.UUIDField(null=True, verbose_name="script log reference"),
        ),
        migrations.AddField(
            model_name="schedule",
            name="max_attempts",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Empty: as many as fit before the deadline.",
                null=True,
                validators=[schedules.validators.validate_max_attempts],
                verbose_name="greatest number of attempts",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="overlap",
            field=models.CharField(
                choices=[("allow", "allow"), ("skip", "skip"), ("queue", "queue")],
                default="allow",
                help_text="While the Qlik task still runs, whoever started it: start all the same, skip, or let one run wait.",
                max_length=5,
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="retry_deadline",
            field=models.DurationField(
                default=datetime.timedelta(seconds=3600),
                help_text="How long after its due instant a start that surely did not happen is tried again.",
                validators=[schedules.validators.validate_retry_deadline],
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="target_property",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Name=Value, such as Department=Finance.",
                max_length=600,
                validators=[schedules.validators.validate_target_property],
                verbose_name="all tasks with the custom property",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="target_tag",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Of Qlik Sense, not of schedules.",
                max_length=255,
                validators=[schedules.validators.validate_target_text],
                verbose_name="all tasks with the tag",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="reason",
            field=models.CharField(
                choices=[
                    ("scheduled", "scheduled"),
                    ("catch-up", "catch-up"),
                    ("manual", "by hand"),
                    ("backfill", "backfill"),
                    ("repeated", "repeated, the clock was set back"),
                    ("api", "start-task API"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="schedule",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="runs",
                to="schedules.schedule",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="schedule_name",
            field=models.CharField(blank=True, max_length=200, verbose_name="schedule id"),
        ),
        migrations.AlterField(
            model_name="run",
            name="state",
            field=models.CharField(
                choices=[
                    ("planned", "planned"),
                    ("queued", "queued"),
                    ("claimed", "claimed"),
                    ("retrying", "retrying, QRS was not reached"),
                    ("waiting", "waiting for the task to end"),
                    ("unsure", "unsure, QRS is being asked"),
                    ("started", "started"),
                    ("succeeded", "succeeded"),
                    ("failed", "failed"),
                    ("aborted", "aborted"),
                    ("skipped", "skipped"),
                    ("refused", "refused"),
                    ("unreachable", "unreachable"),
                    ("unknown", "unknown"),
                ],
                default="planned",
                max_length=11,
            ),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="qlik_task_id",
            field=models.CharField(
                help_text="The GUID of the task to start, or - for only those with the tag or the custom property.",
                max_length=36,
                validators=[schedules.validators.validate_task_of_schedule],
                verbose_name="Qlik task id",
            ),
        ),
        migrations.AlterField(
            model_name="schedulechange",
            name="action",
            field=models.CharField(
                choices=[
                    ("create", "created"),
                    ("edit", "edited"),
                    ("start", "started"),
                    ("stop", "stopped"),
                    ("pause", "paused"),
                    ("resume", "resumed"),
                    ("delete", "deleted"),
                    ("maintenance", "maintenance"),
                    ("retarget", "given other tasks"),
                ],
                max_length=11,
            ),
        ),
        migrations.AlterField(
            model_name="schedulechange",
            name="source",
            field=models.CharField(
                choices=[
                    ("api", "API"),
                    ("admin", "admin"),
                    ("command", "command line"),
                    ("startup", "start of the service"),
                    ("qlik", "Qlik Sense"),
                ],
                max_length=7,
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["schedule", "due_at"], name="run_by_schedule"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", False)), fields=["closed_at"], name="run_by_end"
            ),
        ),
        migrations.AddField(
            model_name="alertchannel",
            name="schedules",
            field=models.ManyToManyField(blank=True, related_name="+", to="schedules.schedule"),
        ),
        migrations.AddIndex(
            model_name="alertcondition",
            index=models.Index(fields=["is_settled", "event"], name="alert_condition_unsettled"),
        ),
        migrations.AddConstraint(
            model_name="alertcondition",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("event", "subject"),
                name="alert_condition_open_once",
            ),
        ),
        migrations.AddIndex(
            model_name="alertmessage",
            index=models.Index(fields=["state", "created_at"], name="alert_message_by_state"),
        ),
        migrations.AddIndex(
            model_name="alertmessage",
            index=models.Index(fields=["channel_key", "created_at"], name="alert_message_by_channel"),
        ),
        migrations.AddIndex(
            model_name="alertsighting",
            index=models.Index(fields=["seen_at"], name="alert_sighting_by_age"),
        ),
        migrations.AddConstraint(
            model_name="alertsighting",
            constraint=models.UniqueConstraint(fields=("run_id", "event"), name="alert_sighting_once"),
        ),
        migrations.AddField(
            model_name="alerttelling",
            name="condition",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tellings",
                to="schedules.alertcondition",
            ),
        ),
        migrations.AddConstraint(
            model_name="alerttelling",
            constraint=models.UniqueConstraint(fields=("condition", "channel_key"), name="alert_telling_once"),
        ),
    ]
