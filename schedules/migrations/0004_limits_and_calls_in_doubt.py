# Limits of open runs, calls in doubt, the names on Redis of an installation, and indexes for what is looked up

import datetime

from django.db import migrations, models

import schedules.models
import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0003_from_start_to_data"),
    ]

    operations = [
        migrations.AddField(
            model_name="lease",
            name="installation",
            field=models.CharField(default=schedules.models.make_installation_id, editable=False, max_length=16),
        ),
        migrations.AddField(
            model_name="lease",
            name="repeats_after",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="lease",
            name="zone_data",
            field=models.CharField(blank=True, default="", max_length=16),
        ),
        migrations.AddField(
            model_name="qrssite",
            name="follower_token",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="run",
            name="claim_renewed_at",
            field=models.DateTimeField(editable=False, help_text="When its worker last held it.", null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="in_doubt_since",
            field=models.DateTimeField(
                help_text="When QRS was called first of which it is not known yet whether a reload came of it.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="silent_at",
            field=models.DateTimeField(
                help_text="When QRS, asked about that call, knew of no reload first.", null=True
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="tried_from",
            field=models.DateTimeField(
                help_text="From when on it could be tried, where that is later than due and planned.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="retry_deadline",
            field=models.DurationField(
                default=datetime.timedelta(seconds=3600),
                help_text="How long a start that surely did not happen is tried again, from when it could first be tried.",
                validators=[schedules.validators.validate_retry_deadline],
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("claimed_at__isnull", False), ("closed_at__isnull", True)),
                fields=["planned_at"],
                name="run_without_end",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("qrs_session__isnull", False)), fields=["qrs_session"], name="run_by_session"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("in_doubt_since__isnull", False)), fields=["in_doubt_since"], name="run_in_doubt"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("reason", "scheduled"), _negated=True),
                fields=["-due_at", "-planned_at"],
                name="run_unscheduled",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulechange",
            index=models.Index(fields=["schedule_name"], name="change_by_name"),
        ),
    ]
