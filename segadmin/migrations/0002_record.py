"""The head of the record, its triggers, and the table of the shared cache."""

from django.core.management import call_command
from django.db import migrations


def start(apps, schema_editor):
    apps.get_model("segadmin", "ChainHead").objects.using(schema_editor.connection.alias).get_or_create(
        pk=1, defaults={"epoch": 1, "seq": 0, "chain": "0" * 64}
    )


def cache_table(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("segadmin", "0001_first")]
    operations = [
        migrations.RunPython(start, migrations.RunPython.noop),
        migrations.RunPython(cache_table, migrations.RunPython.noop),
    ]
