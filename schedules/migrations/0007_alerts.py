# Alerts: who is told, what is the matter, and the messages on their way

import datetime
import uuid

import django.db.models.deletion
from django.db import migrations, models

import schedules.alert_models
import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0006_targets"),
    ]

    operations = [
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
                ("schedules", models.ManyToManyField(blank=True, related_name="+", to="schedules.schedule")),
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
                "indexes": [models.Index(fields=["is_settled", "event"], name="alert_condition_unsettled")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("event", "subject"),
                        name="alert_condition_open_once",
                    )
                ],
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
                "indexes": [
                    models.Index(fields=["state", "created_at"], name="alert_message_by_state"),
                    models.Index(fields=["channel_key", "created_at"], name="alert_message_by_channel"),
                ],
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
            options={
                "indexes": [models.Index(fields=["seen_at"], name="alert_sighting_by_age")],
                "constraints": [models.UniqueConstraint(fields=("run_id", "event"), name="alert_sighting_once")],
            },
        ),
        migrations.CreateModel(
            name="AlertTelling",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel_key", models.CharField(max_length=40)),
                ("told_at", models.DateTimeField()),
                ("told_count", models.PositiveIntegerField()),
                ("is_done", models.BooleanField(default=False, help_text="It has been told of the end, too.")),
                (
                    "condition",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tellings",
                        to="schedules.alertcondition",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("condition", "channel_key"), name="alert_telling_once")
                ],
            },
        ),
    ]
