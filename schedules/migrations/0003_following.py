# What becomes of a start: further attempts, the reload that it began, and what is known about QRS

import datetime

import django.db.models.deletion
from django.db import migrations, models

import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0002_policies_and_absences"),
    ]

    operations = [
        migrations.CreateModel(
            name="QrsSite",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("failures", models.PositiveIntegerField(default=0)),
                ("wait_until", models.DateTimeField(null=True)),
                ("unreachable_since", models.DateTimeField(null=True)),
                ("last_error", models.TextField(default="")),
                ("follower_until", models.DateTimeField(null=True)),
                ("followed_at", models.DateTimeField(null=True)),
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
    ]
