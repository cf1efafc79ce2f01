"""The field picker of the create form: known fields, the common ones first, the rest by group."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from segadmin.models import Name

# A schema may have thousands of fields; those beyond are typed.
MOST = 1500
# Shown without unfolding anything, where the sandbox has them.
COMMON = {
    "personalEmail.address": _("E-mail address"),
    "mobilePhone.number": _("Mobile number"),
    "identityMap": _("Identity map"),
    "person.name.firstName": _("First name"),
    "person.name.lastName": _("Last name"),
    "person.birthDate": _("Birth date"),
    "homeAddress.postalCode": _("Postal code"),
    "homeAddress.countryCode": _("Country code"),
}


@dataclass(frozen=True)
class Field:
    """One field to tick."""

    path: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Group:
    """Fields under one first part of the path."""

    name: str
    fields: Sequence[Field]

    @property
    def chosen(self) -> int:
        return sum(field.chosen for field in self.fields)


@dataclass(frozen=True)
class Offered:
    """`first`: common or chosen fields; `groups`: all others. Every path is in one of the two, once."""

    first: Sequence[Field]
    groups: Sequence[Group]

    @property
    def total(self) -> int:
        return len(self.first) + sum(len(group.fields) for group in self.groups)


def arrange(known: Iterable[Name], chosen: Collection[str] | None) -> Offered:
    """Known fields as the picker shows them."""
    ticked = set(chosen or ())
    rows = {row.external_id: Field(row.external_id, _label(row), row.external_id in ticked) for row in known}
    front = [path for path in COMMON if path in rows]
    front += [path for path in rows if path in ticked and path not in front]
    groups: dict[str, list[Field]] = {}
    for path, field in rows.items():
        if path not in front:
            groups.setdefault(path.partition(".")[0], []).append(field)
    return Offered([rows[path] for path in front], [Group(name, fields) for name, fields in sorted(groups.items())])


def _label(row: Name) -> str:
    if row.external_id in COMMON:
        return str(COMMON[row.external_id])
    return row.name if row.name and row.name != row.external_id else row.external_id.rpartition(".")[2]
