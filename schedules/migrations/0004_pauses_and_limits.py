# Limits that name their rule, and the record of pauses: no column changes

import datetime

from django.db import migrations, models

import schedules.validators


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0003_repeat"),
    ]

    operations = [
        migrations.AlterField(
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
    ]
