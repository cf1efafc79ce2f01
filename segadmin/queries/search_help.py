"""How a query is written: each qualifier with what it asks for, an example, and the values it takes where they are few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from segadmin.models import Action, Category, DataLeft, ExportOutcome, Origin, Outcome
from segadmin.queries import register, search_audit, search_register

RECORD, REGISTER = "audit", "register"

# Qualifier -> (what it asks for, an example as it would be typed).
_MEANINGS: dict[str, tuple[Promise, str]] = {
    "actor": (_("the person, as the account was called then"), "actor:m.lead,crm.ops"),
    "org": (_("the organization, by its short name in addresses"), "org:acme"),
    "sandbox": (_("the sandbox, alone or with its organization"), "sandbox:acme/prod"),
    "action": (_("what was done; a star stands for a group"), "action:export.*"),
    "outcome": (_("how it ended"), "-outcome:refused"),
    "left": (_("whether data left Adobe"), "left:possibly"),
    "origin": (_("whether it was asked for here"), "origin:outside"),
    "job": (_("one export job, by Adobe’s id"), "job:24138"),
    "request": (_("one request, by its id"), "request:5f0c9d3e-1111-4222-8333-944445555666"),
    "record": (_("one record, by its number"), "record:1204"),
    "audience": (_("an audience that was exported, by id or by any name that it had"), 'audience:"Lapsed buyers"'),
    "dataset": (_("the dataset it went to, by id or by any name that it had"), 'dataset:"CRM out"'),
    "field": (_("a field that was exported, also as part of a wider path"), "field:personalEmail.address"),
    "recipient": (_("where the data goes on to, as stated or corrected"), 'recipient:"Print house"'),
    "ticket": (_("the ticket, as stated or corrected, alone or among others"), "ticket:CRM-1042"),
    "pii": (_("personal data in it, for certain or possibly"), "pii:email,certain-phone"),
    "created": (_("when; one day, a span, or everything"), "created:2026-01-01..2026-03-31"),
    "ended": (_("when the export ended"), "ended:>=2026-07-01"),
}
_OF_RECORD: Mapping[str, Sequence[str]] = {"action": Action.values, "outcome": Outcome.values}
_OF_REGISTER: Mapping[str, Sequence[str]] = {
    "outcome": [value for value in ExportOutcome.values if value != ExportOutcome.MERGED],
    "left": DataLeft.values,
    "origin": Origin.values,
}


@dataclass(frozen=True)
class Qualifier:
    """One row of the help. `also`: other spellings; `values`: all that it takes, none where it takes anything."""

    name: str
    also: tuple[str, ...]
    meaning: Promise
    example: str
    values: tuple[str, ...]


def qualifiers(page: str) -> Iterator[Qualifier]:
    """Those of the record or of the register, in the order of their pages."""
    spelled = search_audit.QUALIFIERS if page == RECORD else search_register.QUALIFIERS
    known = {"pii": [*Category.values, register.ANY]} | dict(_OF_RECORD if page == RECORD else _OF_REGISTER)
    for name in dict.fromkeys(spelled.values()):
        also = tuple(other for other, meant in spelled.items() if meant == name and other != name)
        meaning, example = _MEANINGS[name]
        yield Qualifier(name, also, meaning, example, tuple(known.get(name, ())))
