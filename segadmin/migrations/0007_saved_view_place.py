import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("segadmin", "0006_findings"),
    ]

    operations = [
        migrations.AddField(
            model_name="savedview",
            name="organization",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="saved_views",
                to="segadmin.organization",
            ),
        ),
        migrations.AddIndex(
            model_name="eventcontent",
            index=models.Index(fields=["sandbox", "-event"], name="content_sandbox"),
        ),
    ]
