"""What the database holds, as one digest a table, so that a test can say "nothing changed"."""

import hashlib
from collections.abc import Collection

from django.apps import apps

# Written by signing in and by looking around, which is not state of the product.
ALWAYS_MOVING = frozenset(
    {"sessions.Session", "usersessions.UserSession", "contenttypes.ContentType", "auth.Permission"}
)


def state(*, without_tables: Collection[str] = (), without_columns: Collection[str] = ()) -> dict[str, str]:
    """Table label ("segadmin.Job") -> number of rows and digest of their content."""
    found: dict[str, str] = {}
    for model in apps.get_models():
        label = model._meta.label
        if label in ALWAYS_MOVING or label in without_tables:
            continue
        columns = [field.attname for field in model._meta.concrete_fields if field.attname not in without_columns]
        rows = list(model._default_manager.order_by("pk").values_list(*columns))
        digest = hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found[label] = f"{len(rows)} rows, {digest}"
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The tables that differ."""
    return sorted(label for label in {*before, *after} if before.get(label) != after.get(label))
