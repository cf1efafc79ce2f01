"""When a list was last read whole, kept also where the next reading is due at once; times of a clock that was set back.

And terms of the register anew where they differ: folded texts, several tickets, events with all their fields, and names
that audiences and datasets had at other times.
"""

from typing import Any

from django.db import migrations, models
from django.db.models import F

from segadmin.queries import terms

CHUNK = 500


def known_so_far(apps: Any, _editor: Any) -> None:
    apps.get_model("segadmin", "Sandbox").objects.update(swept_at=F("last_sweep_at"))


def terms_anew(apps: Any, editor: Any) -> None:
    """In chunks of rows, so that memory stays flat however many there are."""
    database = editor.connection.alias
    entries = apps.get_model("segadmin", "RegisterEntry").objects.using(database).exclude(outcome="merged")
    values = apps.get_model("segadmin", "RegisterValue").objects.using(database)
    last = 0
    while chunk := list(entries.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = chunk[-1].pk
        for entry in chunk:
            entry.search = terms.fold(entry.search)
            if entry.with_events and len(entry.fields) == len(entry.field_words.strip("|").split("|")):
                entry.field_words = f"{entry.field_words}{terms.ALL_FIELDS}|"
            elif entry.with_events and not entry.field_words:
                entry.field_words = f"|{terms.ALL_FIELDS}|"
        entries.bulk_update(chunk, ["search", "field_words"], batch_size=CHUNK)
        columns = [{name: getattr(entry, name) for name in terms.COLUMNS} for entry in chunk]
        told = [terms.told(one) for one in columns]
        _write(apps, database, chunk, told)
        texts = {(int(kind), key, text) for found in told for key, (kind, text) in found.items() if kind in terms.SPELLED}
        texts |= {(int(kind), key, name) for one in columns for kind, key, name in terms.called(one)}
        keys = {key for _kind, key, _text in texts}
        there = set(values.filter(key__in=keys).values_list("kind", "key", "value"))
        values.bulk_create([values.model(kind=a, key=b, value=c) for a, b, c in sorted(texts - there)], CHUNK)


def _write(apps: Any, database: str, chunk: list[Any], told: list[dict[int, Any]]) -> None:
    rows = apps.get_model("segadmin", "RegisterTerm").objects.using(database)
    wanted = {(entry.pk, key): entry for entry, found in zip(chunk, told, strict=True) for key in found}
    there = {(entry, key): pk for pk, entry, key in rows.filter(entry__in=chunk).values_list("pk", "entry", "key")}
    gone = [pk for place, pk in there.items() if place not in wanted]
    for start in range(0, len(gone), CHUNK):
        rows.filter(pk__in=gone[start : start + CHUNK]).delete()
    fresh = [
        rows.model(entry_id=pk, key=key, sandbox_id=entry.sandbox_id, sort=terms.micros(entry.sort_at))
        for (pk, key), entry in wanted.items()
        if (pk, key) not in there
    ]
    rows.bulk_create(fresh, batch_size=CHUNK)


class Migration(migrations.Migration):
    dependencies = [("segadmin", "0010_register_terms")]

    operations = [
        migrations.AddField(
            model_name="sandbox",
            name="swept_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        # Choices only: no table changes.
        migrations.AlterField(
            model_name="unread",
            name="why",
            field=models.CharField(
                choices=[
                    ("adobe", "Adobe could not be read"),
                    ("stopped", "segadmin was not reading"),
                    ("unwatched", "not watched"),
                    ("clock", "the clock of this server was set back"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunPython(known_so_far, migrations.RunPython.noop),
        migrations.RunPython(terms_anew, migrations.RunPython.noop),
    ]
