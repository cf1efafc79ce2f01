"""Typed names and ids against the names that segadmin knows of a sandbox."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from segadmin.models import Name

MAX_ID = 200
# Ids have digits or joints; a single plain word is taken for a name that was misspelled.
_LIKE_AN_ID = re.compile(r"[^\s,]*[0-9_:@.-][^\s,]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Directory:
    """The known names of one kind."""

    rows: Sequence[Name] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Name]:
        return {row.external_id: row for row in self.rows}

    @cached_property
    def by_name(self) -> Mapping[str, list[Name]]:
        found: dict[str, list[Name]] = {}
        for row in self.rows:
            found.setdefault(row.name.casefold(), []).append(row)
        return found

    @cached_property
    def offers(self) -> list[tuple[str, str]]:
        """(what to type, what it stands for) for a datalist: the name where it is the only one of its kind."""
        return [
            (row.name, row.external_id)
            if row.name.strip() and len(self.by_name[row.name.casefold()]) == 1
            else (row.external_id, row.name)
            for row in self.rows
        ]

    def find(self, text: str) -> Name | None:
        """The entry with this id, or the only one of this name, letter case aside."""
        wanted = text.strip()
        named = self.by_name.get(wanted.casefold(), [])
        return self.by_id.get(wanted) or (named[0] if len(named) == 1 else None)

    def id_of(self, text: str) -> str:
        """The id that was typed or meant; "" for blank. An id that is not known is let through, a name is not.

        Raises ValidationError that says what to write.
        """
        wanted = text.strip()
        found = self.find(wanted)
        if found or not wanted:
            return found.external_id if found else ""
        same = self.by_name.get(wanted.casefold(), [])
        if same:
            raise ValidationError(
                _("%(count)d are called “%(name)s”. Give the id of the one you mean: %(ids)s.")
                % {"count": len(same), "name": wanted, "ids": ", ".join(row.external_id for row in same[:5])}
            )
        if len(wanted) > MAX_ID or _CONTROL.search(wanted):
            raise ValidationError(_("This is too long, or holds characters that no id has."))
        plausible = _LIKE_AN_ID.fullmatch(wanted) if self.rows else not re.search(r"[\s,]", wanted)
        if not plausible:
            raise ValidationError(self._unknown(wanted))
        return wanted

    def _unknown(self, wanted: str) -> str:
        if not self.rows:
            return _("No names have been read from this sandbox yet. Give the id, which contains no spaces.")
        near = self.near(wanted)
        if near:
            return _("Nothing here is called “%(name)s”. Did you mean %(near)s?") % {
                "name": wanted,
                "near": _(" or ").join(f"“{name}”" for name in near),
            }
        return _("Nothing here is called “%(name)s”. Choose one from the list, or give the id.") % {"name": wanted}

    def near(self, wanted: str) -> list[str]:
        """At most three names that look like the typed one."""
        folded = wanted.casefold()
        names = {row.name.casefold(): row.name for row in self.rows if row.name}
        holding = [name for key, name in names.items() if folded in key or (len(key) > 3 and key in folded)]
        close = difflib.get_close_matches(folded, list(names), n=3, cutoff=0.6)
        return list(dict.fromkeys([*(names[key] for key in close), *holding]))[:3]


@dataclass(frozen=True)
class Catalogue:
    """Everything that the form offers: the cached names of one sandbox."""

    audiences: Directory = field(default_factory=Directory)
    datasets: Directory = field(default_factory=Directory)
    merge_policies: Directory = field(default_factory=Directory)
    fields: Directory = field(default_factory=Directory)
