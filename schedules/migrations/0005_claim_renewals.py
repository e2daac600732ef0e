# When a process last showed that it holds a claim

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("schedules", "0004_limits_of_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="claim_renewed_at",
            field=models.DateTimeField(editable=False, help_text="When its worker last held it.", null=True),
        ),
    ]
