# From when on a run could be tried, and an index of the runs that a worker has had and that are open

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0003_from_start_to_data"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="tried_from",
            field=models.DateTimeField(
                help_text="From when on it could be tried, where that is later than due and planned.", null=True
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
    ]
