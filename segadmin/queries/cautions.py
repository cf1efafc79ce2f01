"""What a person should know before an export is sent: what it widens, and what segadmin can't vouch for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from segadmin.models import ExportRequest, Job, Name, Sandbox
from segadmin.queries import names, requests
from segadmin.queries.sentences import joined

# Namespaces of Adobe's own segments: without one, Adobe looks there.
OWN_NAMESPACES = frozenset({"", "ups", "AEPSegments"})


@dataclass(frozen=True)
class Caution:
    """One warning. `kind` is bad, warn or soft; `lead` stands alone; `job`, where given, is linked after the lead."""

    kind: str
    lead: str
    text: str
    job: Job | None = None


def of_request(export_request: ExportRequest) -> list[Caution]:
    """Everything to be read before sending, gravest first. What has to be confirmed is not repeated here."""
    known = _Known(export_request.sandbox)
    found = [
        *_dataset(export_request, known),
        *_audiences(export_request, known),
        *_fields(export_request, known),
        *_twins(export_request),
        *_events(export_request),
        *_production(export_request),
    ]
    return sorted(found, key=lambda one: ("bad", "warn", "soft").index(one.kind))


class _Known:
    """The cached names of one sandbox; None stands for a kind of which nothing was ever read."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.place = str(sandbox)
        self.audiences = self._by_id(names.audiences(sandbox))
        self.datasets = self._by_id(names.datasets(sandbox))
        self.fields = self._by_id(names.fields(sandbox))

    @staticmethod
    def _by_id(rows: list[Name]) -> dict[str, Name] | None:
        return {row.external_id: row for row in rows} or None


def _dataset(export_request: ExportRequest, known: _Known) -> Iterator[Caution]:
    dataset_id = export_request.body["destination"]["datasetId"]
    if known.datasets is None:
        yield Caution(
            "soft",
            _("The dataset could not be checked."),
            _("segadmin has not read the datasets of %s yet.") % known.place,
        )
    elif dataset_id not in known.datasets:
        yield Caution(
            "warn",
            _("segadmin doesn’t know this dataset."),
            _(
                "%(id)s is not among the datasets last read from %(place)s. If it is not there, Adobe refuses the export."
            )
            % {"id": dataset_id, "place": known.place},
        )
    elif known.datasets[dataset_id].details.get("union") is False:
        yield Caution(
            "bad",
            _("“%s” is not on the union profile schema.") % known.datasets[dataset_id].name,
            _("Adobe can’t export profiles into it: the job will be refused, or fail."),
        )


def _audiences(export_request: ExportRequest, known: _Known) -> Iterator[Caution]:
    segments: list[dict[str, Any]] = (export_request.body.get("filter") or {}).get("segments", [])
    if segments and known.audiences is None:
        yield Caution(
            "soft",
            _("The audiences could not be checked."),
            _("segadmin has not read the audiences of %s yet.") % known.place,
        )
        return
    for part in segments:
        row = (known.audiences or {}).get(part["segmentId"])
        if row is None:
            yield Caution(
                "warn",
                _("segadmin doesn’t know the audience %s.") % part["segmentId"],
                _("It is not among the audiences last read from %s. A wrong id may export nobody.") % known.place,
            )
        else:
            yield from _audience(row, part, export_request.body)


def _audience(row: Name, part: dict[str, Any], body: dict[str, Any]) -> Iterator[Caution]:
    details, evaluated_first = row.details, (body.get("evaluationInfo") or {}).get("segmentation")
    if "evaluated_at" in details and not details["evaluated_at"] and not evaluated_first:
        yield Caution(
            "warn",
            _("“%s” was never evaluated.") % row.name,
            _(
                "The export will be empty unless Adobe evaluates the audience first, which can be chosen under More choices."
            ),
        )
    elif details.get("profiles") == 0:
        yield Caution("warn", _("“%s” was empty when Adobe last evaluated it.") % row.name, "")
    if row.namespace not in OWN_NAMESPACES and not part.get("segmentNs"):
        yield Caution(
            "warn",
            _("“%s” does not come from Adobe’s segments.") % row.name,
            _("Its namespace is %s. Without a namespace Adobe looks in ups, and may find nobody.") % row.namespace,
        )


def _fields(export_request: ExportRequest, known: _Known) -> Iterator[Caution]:
    asked = [path for path in str(export_request.body.get("fields", "")).split(",") if path]
    if not known.fields:
        return
    above = {path.rsplit(".", depth)[0] for path in known.fields for depth in range(1, path.count(".") + 1)}
    strange = [path for path in asked if path not in known.fields and path not in above]
    if strange:
        yield Caution(
            "warn",
            _("segadmin doesn’t know %s.") % joined(strange[:5]),
            _("The profile schema last read from %s has no such field: it may come back empty.") % known.place,
        )


def _twins(export_request: ExportRequest) -> Iterator[Caution]:
    labels = {item["id"]: item.get("name") or item["id"] for item in export_request.names.get("audiences", [])}
    for twin in requests.twins(export_request)[:3]:
        who = f"“{labels.get(twin.audience_id, twin.audience_id)}”" if twin.audience_id else _("Everyone")
        where = _("the same dataset") if twin.same_dataset else _("another dataset")
        lead = (
            _("%(who)s is being exported to %(where)s now") if twin.is_going else _("%(who)s went to %(where)s lately")
        )
        words = _("Send this only if you want both.")
        yield Caution("warn", lead % {"who": who, "where": where}, words, twin.job)


def _events(export_request: ExportRequest) -> Iterator[Caution]:
    events = (export_request.body.get("additionalFields") or {}).get("eventList")
    if events and not (events.get("filter") or {}).get("fromIngestTimestamp"):
        yield Caution(
            "warn",
            _("The events have no start."),
            _("Adobe expects one; without it, every event it holds of these profiles is exported."),
        )


def _production(export_request: ExportRequest) -> Iterator[Caution]:
    sandbox = export_request.sandbox
    if sandbox.is_production:
        kept = (export_request.names.get("dataset") or {}).get("name") or export_request.body["destination"][
            "datasetId"
        ]
        yield Caution(
            "soft",
            _("These are real people’s profiles: %s is production.") % sandbox.name,
            _("They stay in “%s” until someone removes them there; segadmin cannot take them back.") % kept,
        )
