"""Lists of dotted field paths: ticked, typed with commas, or both."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# For what is no prose: ids, names and times.
TEXT = {"autocomplete": "off", "spellcheck": "false"}
MAX_PATHS = 2000
MAX_PATH = 500


def split(texts: Iterable[str]) -> list[str]:
    """Paths out of texts with commas or line breaks, each once; blanks between commas are nothing."""
    parts = (part.strip() for text in texts for part in re.split(r"[,\r\n]", text))
    return list(dict.fromkeys(part for part in parts if part))


class FieldNamesArea(forms.Textarea):
    """A text area of the paths that no tick box stands for; `boxes` are the paths that have one."""

    boxes: frozenset[str] = frozenset()

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 3, **TEXT, **(attrs or {})})

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[str]:  # noqa: ARG002
        return split(data.getlist(name) if hasattr(data, "getlist") else [])

    def format_value(self, value: Any) -> str:
        return ", ".join(path for path in value or [] if path not in self.boxes)


class FieldNamesField(forms.Field):
    """A list of dotted paths; the same name may be posted many times."""

    def to_python(self, value: list[str] | None) -> list[str]:
        paths = value or []
        for path in paths:
            if re.search(r"\s", path):
                raise ValidationError(_("“%s” contains a space. Separate fields by commas.") % path[:80])
            if len(path) > MAX_PATH or re.search(r"[\x00-\x1f\x7f]", path):
                raise ValidationError(_("“%s…” can’t be the path of a field.") % path[:40])
        if len(paths) > MAX_PATHS:
            raise ValidationError(_("Name at most %d fields, or choose all fields.") % MAX_PATHS)
        return paths
