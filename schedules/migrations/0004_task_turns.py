# Turns of runs that must not overlap

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0003_following"),
    ]

    operations = [
        migrations.CreateModel(
            name="TaskTurn",
            fields=[
                ("qlik_task_id", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
            ],
        ),
    ]
