# What the clock knows beside the expression: dates, pauses, jitter; and what a leader needs after an absence

import datetime

from django.db import migrations, models

import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Absence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("from_at", models.DateTimeField()),
                ("until_at", models.DateTimeField()),
                ("settled_pk", models.BigIntegerField(default=0)),
                ("settled_through", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Maintenance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("began_at", models.DateTimeField()),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="When it ended or is to end; empty: open.", null=True),
                ),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                ("actor", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={
                "verbose_name_plural": "maintenance",
                "ordering": ["-began_at"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="run",
            name="run_once_per_occurrence",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="run_open",
        ),
        migrations.AddField(
            model_name="lease",
            name="clock_sets",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="lease",
            name="repeats_until",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="occurrences",
            field=models.PositiveIntegerField(
                default=1,
                help_text="More than one where a row stands for all that was skipped from its due instant on.",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="repeat",
            field=models.PositiveIntegerField(
                default=0,
                help_text="How often the clock had been set back, where the occurrence came once more because of it.",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="ends_at",
            field=models.DateTimeField(blank=True, help_text="No occurrence after this instant.", null=True),
        ),
        migrations.AddField(
            model_name="schedule",
            name="excluded_dates",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Days without occurrences, by the calendar of the schedule's zone: 2026-12-24, or 2026-12-24/2027-01-01 for a range.",
                validators=[schedules.validators.validate_dates],
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="jitter",
            field=models.DurationField(
                default=datetime.timedelta(0),
                help_text="Each start is put off by a part of this that is the same every time, so that schedules spread out.",
                validators=[schedules.validators.validate_jitter],
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="max_runs",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="After so many runs there are no more.",
                null=True,
                validators=[schedules.validators.validate_max_runs],
                verbose_name="greatest number of runs",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="pause_reason",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="schedule",
            name="paused_until",
            field=models.DateTimeField(blank=True, help_text="Occurrences up to this instant are skipped.", null=True),
        ),
        migrations.AddField(
            model_name="schedule",
            name="runs_planned",
            field=models.PositiveIntegerField(
                default=0, editable=False, help_text="Runs planned since the greatest number was last set."
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="starts_at",
            field=models.DateTimeField(blank=True, help_text="No occurrence before this instant.", null=True),
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
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="misfire_grace",
            field=models.DurationField(
                default=datetime.timedelta(seconds=60),
                help_text="Up to here, late is not missed.",
                validators=[schedules.validators.validate_grace],
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
                ],
                max_length=11,
            ),
        ),
        migrations.AlterField(
            model_name="schedulechange",
            name="schedule_name",
            field=models.CharField(blank=True, max_length=200, verbose_name="schedule id"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["state", "due_at"], name="run_by_state"),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                fields=("schedule", "due_at", "reason", "repeat"), name="run_once_per_occurrence"
            ),
        ),
    ]
