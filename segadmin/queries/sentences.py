"""The one sentence of an export, built by rule: what of whom goes from where to where. Plain text, no markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from segadmin.models import ExportRequest, Job, Name, Sandbox, State
from segadmin.queries import names

# Field paths that people know by a short word; everything else keeps its path.
WORDS = {
    "personalEmail.address": "e-mail",
    "workEmail.address": "work e-mail",
    "mobilePhone.number": "mobile number",
    "homePhone.number": "home phone",
    "identityMap": "identity ids",
    "person.name.firstName": "first name",
    "person.name.lastName": "last name",
    "person.name.fullName": "full name",
    "person.birthDate": "birth date",
    "person.gender": "gender",
    "homeAddress": "home address",
    "homeAddress.postalCode": "postal code",
    "homeAddress.city": "city",
    "segmentMembership": "audience memberships",
}


def joined(words: Sequence[str], last: str = "and") -> str:
    """ "a, b and c" """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def field_words(fields: str) -> str:
    """The fields in words, at most four of them spelled out; no list means all."""
    paths = [path.strip() for path in fields.split(",") if path.strip()]
    if not paths:
        return _("all fields")
    words = [WORDS.get(path, path) for path in paths]
    if len(words) > 4:
        words = [*words[:3], _("%d more fields") % (len(words) - 3)]
    return joined(words)


def audience_words(audiences: Sequence[str]) -> str:
    """Audience names in quotes, at most three spelled out."""
    quoted = [f"“{name}”" for name in audiences]
    if len(quoted) > 3:
        quoted = [*quoted[:2], _("%d more audiences") % (len(quoted) - 2)]
    return joined(quoted, _("or"))


def body_parts(body: Mapping[str, Any], sandbox: Sandbox, kept: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The sentence's parts of a request body or raw job: fields, people, place, dataset, limits.

    `kept` holds names as they were then: {"audiences": [{"id", "name"}], "dataset": {"id", "name"}}.
    """
    kept = kept or {}
    filters = _mapping(body.get("filter"))
    segments = [_mapping(item) for item in filters.get("segments") or [] if isinstance(item, Mapping)]
    ids = [str(item.get("segmentId", "")) for item in segments if item.get("segmentId")]
    destination = _mapping(body.get("destination"))
    dataset_id = str(destination.get("datasetId") or destination.get("dataSetId") or "")
    known = {str(item.get("id")): str(item.get("name") or "") for item in kept.get("audiences", [])}
    keys = [(sandbox.pk, Name.Kind.AUDIENCE.value, item) for item in ids if not known.get(item)]
    keys.append((sandbox.pk, Name.Kind.DATASET.value, dataset_id))
    cached = names.labels(keys)
    audience_names = [known.get(i) or cached.get((sandbox.pk, Name.Kind.AUDIENCE.value, i)) or i for i in ids]
    dataset = str(_mapping(kept.get("dataset")).get("name") or "") or cached.get(keys[-1]) or dataset_id
    fields = body.get("fields")
    return {
        "fields": field_words(fields if isinstance(fields, str) else ""),
        "people": _people(audience_names, segments),
        "place": f"{sandbox.organization.name} / {sandbox.name}",
        "dataset": f"“{dataset}”" if dataset else _("a dataset that Adobe did not name"),
        "events": _(" and their events") if body.get("additionalFields") else "",
    }


def _people(audience_names: Sequence[str], segments: Sequence[Mapping[str, Any]]) -> str:
    if not audience_names:
        return _("everyone")
    statuses = {str(word) for item in segments for word in _list(item.get("status"))}
    verb = _("left") if statuses == {"exited"} else _("was in or left") if "exited" in statuses else _("was in")
    return _("everyone who %(verb)s %(audiences)s when Adobe last evaluated it") % {
        "verb": verb,
        "audiences": audience_words(audience_names),
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value] if value else []


def _sentence(verb: str, parts: Mapping[str, str]) -> str:
    return _("%(verb)s %(fields)s%(events)s of %(people)s from %(place)s to dataset %(dataset)s") % {
        "verb": verb,
        **parts,
    }


def request_sentence(export_request: ExportRequest, verb: str = "") -> str:
    """ "asks to export e-mail of everyone who was in “Lapsed buyers” … to dataset “CRM out”", without the person."""
    parts = body_parts(export_request.body, export_request.sandbox, export_request.names)
    return _sentence(verb or _("asks to export"), parts)


def job_sentence(job: Job) -> str:
    """ "exported …" only after success, else "asked to export …"; for jobs not from here "exports"/"exported" too."""
    kept = job.export_request.names if job.export_request else {}
    verb = _("exported") if job.state == State.SUCCEEDED else _("asked to export")
    return _sentence(verb, body_parts(job.raw, job.sandbox, kept))
