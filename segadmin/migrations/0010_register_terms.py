"""Terms by which rows of the register are found, kinds of personal data as bits, and an index for totals."""

import django.db.models.deletion
from django.db import migrations, models

from segadmin.queries import terms

CHUNK = 500


def fill(apps, schema_editor):
    """In chunks of rows, so that memory stays flat however many there are."""
    database = schema_editor.connection.alias
    entries = apps.get_model("segadmin", "RegisterEntry").objects.using(database)
    term = apps.get_model("segadmin", "RegisterTerm")
    value = apps.get_model("segadmin", "RegisterValue")
    spelled, last = set(), 0
    while chunk := list(entries.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = chunk[-1].pk
        rows, texts = [], {}
        for entry in chunk:
            entry.pii_mask = terms.mask_of(entry.pii_words)
            if entry.outcome == "merged":
                continue
            found = terms.told({name: getattr(entry, name) for name in terms.COLUMNS})
            sort = terms.micros(entry.sort_at)
            rows += [term(entry_id=entry.pk, sandbox_id=entry.sandbox_id, key=key, sort=sort) for key in found]
            texts |= {key: told for key, told in found.items() if told[0] in terms.SPELLED and key not in spelled}
        entries.bulk_update(chunk, ["pii_mask"], batch_size=CHUNK)
        term.objects.using(database).bulk_create(rows, batch_size=CHUNK)
        value.objects.using(database).bulk_create(
            [value(kind=int(kind), key=key, value=text) for key, (kind, text) in texts.items()], batch_size=CHUNK
        )
        spelled |= set(texts)


class Migration(migrations.Migration):
    dependencies = [("segadmin", "0009_unusual_and_reviews")]

    operations = [
        migrations.AddField("registerentry", "pii_mask", models.BigIntegerField(default=0)),
        migrations.RemoveIndex("registerentry", "register_org"),
        migrations.AddIndex(
            "registerentry",
            models.Index(
                fields=[
                    "organization",
                    "-sort_at",
                    "-id",
                    "sandbox",
                    "outcome",
                    "origin",
                    "data_left",
                    "pii_mask",
                    "profile_source",
                    "profiles",
                    "ended_at",
                ],
                name="register_counted",
            ),
        ),
        migrations.CreateModel(
            name="RegisterTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.BigIntegerField()),
                ("sort", models.BigIntegerField()),
                (
                    "entry",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="terms",
                        to="segadmin.registerentry",
                    ),
                ),
                (
                    "sandbox",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="segadmin.sandbox",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["key", "sandbox", "-sort", "-entry"], name="term_rows")],
                "constraints": [models.UniqueConstraint(fields=["entry", "key"], name="term_once")],
            },
        ),
        migrations.CreateModel(
            name="RegisterValue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.PositiveSmallIntegerField()),
                ("key", models.BigIntegerField(db_index=True)),
                ("value", models.CharField(max_length=500)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["kind", "value"],
                        name="value_text",
                        opclasses=["int2_ops", "varchar_pattern_ops"],
                    )
                ],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
