"""The create form: which body comes of which fields, and which sentence of which fault."""

from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given, settings
from hypothesis import strategies as st

from segadmin.aep.types import ExportRequest as RequestBody
from segadmin.forms import typed
from segadmin.forms.names import Catalogue, Directory
from segadmin.forms.requests import RequestForm
from segadmin.models import Name
from tests.forms.test_typed import FULL

DATASET = "5b7c86968f7b6501e21ba9df"
LAPSED, VALUE = "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "8d1f3a60-0f5e-4c8e-9d15-2b1a7c40e9b7"
MINIMAL: dict[str, Any] = {
    "destination__datasetId": DATASET,
    "schema__name": "_xdm.context.profile",
    "who": "audiences",
    "which": "these",
    "fields": "personalEmail.address",
    "filter__segments-0-segmentId": LAPSED,
    "purpose": "Win-back letter in July",
}


def name(external_id: str, label: str, **details: Any) -> Name:
    return Name(external_id=external_id, name=label, details=details)


CATALOGUE = Catalogue(
    audiences=Directory(
        [
            name(LAPSED, "Lapsed buyers", merge_policy_id="mp-1", profiles=41200),
            name(VALUE, "High value, no app", merge_policy_id="mp-2", profiles=12900),
            name("cccc-3", "Cart abandoners", merge_policy_id="mp-1"),
        ]
    ),
    datasets=Directory(
        [name(DATASET, "CRM out", union=True), name("0000000000000000000000ff", "Web logs", union=False)]
    ),
    merge_policies=Directory([name("mp-1", "Default, timebased"), name("mp-2", "Private graph")]),
    fields=Directory([name("personalEmail.address", "Address"), name("loyalty.tier", "Tier")]),
)


def post(**changes: Any) -> RequestForm:
    """The minimal form with changes; None leaves a field out. Keys may use the contract's names through `**`."""
    query = QueryDict(mutable=True)
    for key, value in {**MINIMAL, **changes}.items():
        if value is not None:
            query.setlist(key, value if isinstance(value, list) else [value])
    return RequestForm.check(typed.read(query), CATALOGUE)


def errors(form: RequestForm) -> dict[str, str]:
    form.is_valid()
    found = {key: " ".join(str(text) for text in texts) for key, texts in form.errors.items()}
    for number, row in enumerate(form.segments.forms):
        found |= {f"{number}.{key}": " ".join(str(text) for text in texts) for key, texts in row.errors.items()}
    return found


def test_the_least_that_can_be_asked_for() -> None:
    form = post()
    assert form.is_valid(), form.errors
    assert form.body == {
        "fields": "personalEmail.address",
        "filter": {"segments": [{"segmentId": LAPSED}]},
        "destination": {"datasetId": DATASET},
        "schema": {"name": "_xdm.context.profile"},
    }


def test_a_missing_schema_is_the_profile_schema() -> None:
    form = post(schema__name=None)
    assert form.is_valid()
    assert form.body["schema"] == {"name": "_xdm.context.profile"}


def test_every_field_is_sent_as_adobe_spells_it() -> None:
    form = post(
        **{
            "fields": ["identityMap", "person.name"],
            "mergePolicy__id": "timestampOrdered-none-mp",
            "mergePolicy__version": "2",
            "filter__segments-0-segmentId": "52c26d0d",
            "filter__segments-0-segmentNs": "AAM",
            "filter__segments-0-status": ["exited", "realized"],
            "filter__segments-1-segmentId": "8d1f3a60",
            "filter__segmentQualificationTime__startTime": "2026-06-01 02:00 Europe/Berlin",
            "filter__segmentQualificationTime__endTime": "2026-07-01T00:00:00Z",
            "filter__fromIngestTimestamp": "2026-06-15 10:30",
            "filter__emptyProfiles": "on",
            "additionalFields__eventList__fields": "_id, timestamp",
            "additionalFields__eventList__filter__fromIngestTimestamp": "2026-06-01",
            "additionalFields__eventList__filter__toIngestTimestamp": "2026-06-02",
            "destination__segmentPerBatch": "true",
            "evaluationInfo__segmentation": "on",
        }
    )
    assert form.is_valid(), errors(form)
    assert form.body == FULL


def test_what_was_copied_gives_the_same_body_again() -> None:
    copy = typed.from_body(FULL) | {"purpose": ["Again"]}
    form = RequestForm.check(copy, CATALOGUE)
    assert form.is_valid(), errors(form)
    assert form.body == FULL


def test_nothing_blank_and_no_default_is_sent() -> None:
    blank = {typed.HTML_NAMES[name]: "" for name in ("merge_policy", "changed_after", "events_from", "event_fields")}
    form = post(**blank, **{"filter__segments-0-segmentNs": "", "filter__emptyProfiles": "false"})
    assert form.is_valid()
    assert set(form.body) == {"fields", "filter", "destination", "schema"}
    assert set(form.body["filter"]) == {"segments"}


def test_everyone_with_all_fields_is_the_shortest_body() -> None:
    form = post(**{"who": "everyone", "which": "all", "fields": None, "filter__segments-0-segmentId": None})
    assert form.is_valid()
    assert form.body == {"destination": {"datasetId": DATASET}, "schema": {"name": "_xdm.context.profile"}}


@pytest.mark.parametrize(
    "fields",
    [
        ["personalEmail.address", "loyalty.tier"],
        "personalEmail.address, loyalty.tier",
        "personalEmail.address,\r\nloyalty.tier,,",
    ],
)
def test_fields_are_repeated_or_separated_by_commas(fields: Any) -> None:
    form = post(fields=fields)
    assert form.is_valid()
    assert form.body["fields"] == "personalEmail.address,loyalty.tier"


def test_names_are_sent_as_ids() -> None:
    form = post(
        **{
            "destination__datasetId": "crm out",
            "filter__segments-0-segmentId": "Lapsed Buyers",
            "mergePolicy__id": "Private graph",
        }
    )
    assert form.is_valid()
    assert form.body["destination"] == {"datasetId": DATASET}
    assert form.body["filter"]["segments"] == [{"segmentId": LAPSED}]
    assert form.body["mergePolicy"] == {"id": "mp-2"}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"who": None}, "who", "Say whose profiles"),
        ({"which": None}, "which", "Say which fields"),
        ({"purpose": ""}, "purpose", "Say what the export is for"),
        ({"purpose": "For MK-311"}, "purpose", "names the ticket only"),
        ({"destination__datasetId": None}, "dataset", "Name the dataset"),
        ({"destination__datasetId": "CRM"}, "dataset", "Did you mean “CRM out”"),
        ({"filter__segments-0-segmentId": None}, "who", "Name at least one audience"),
        ({"who": "everyone"}, "who", "Which of the two"),
        ({"fields": None}, "which", "Choose at least one field"),
        ({"which": "all"}, "which", "Which of the two"),
        ({"fields": "personal email"}, "profile_fields", "contains a space"),
        ({"filter__segments-0-segmentId": "Lapsd buyers"}, "0.segment_id", "Lapsed buyers"),
        ({"filter__segments-1-segmentId": LAPSED}, "1.segment_id", "named twice"),
        (
            {"filter__segments-1-segmentId": "", "filter__segments-1-segmentNs": "AAM"},
            "1.segment_id",
            "Name the audience",
        ),
        ({"filter__segments-0-segmentNs": "a b"}, "0.segment_ns", "contains no spaces"),
        ({"filter__segments-0-status": "gone"}, "0.status", "gone"),
        ({"filter__segments-1-segmentId": VALUE}, "merge_policy", "“Default, timebased”, “Private graph”"),
        ({"mergePolicy__version": "3"}, "merge_policy", "Name the merge policy"),
        ({"mergePolicy__id": "mp-1", "mergePolicy__version": "latest"}, "merge_policy_version", "whole number"),
        ({"filter__fromIngestTimestamp": "last week"}, "changed_after", "Write a date and a time"),
        (
            {
                "filter__segmentQualificationTime__startTime": "2026-07-02",
                "filter__segmentQualificationTime__endTime": "2026-07-01",
            },
            "qualified_to",
            "must be after",
        ),
        (
            {
                "additionalFields__eventList__filter__fromIngestTimestamp": "2026-07-01",
                "additionalFields__eventList__filter__toIngestTimestamp": "2026-07-01",
            },
            "events_to",
            "must be after",
        ),
        ({"events": "on"}, "events_from", "Say from which time"),
        ({"schema__name": "my schema"}, "schema_name", "contains no spaces"),
        ({"ticket": "x" * 101}, "ticket", "at most 100"),
    ],
)
def test_a_fault_is_told_at_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    form = post(**changes)
    found = errors(form)
    assert words in found.get(field, ""), found
    assert form.body == {}


def test_audiences_of_one_merge_policy_need_none_chosen() -> None:
    form = post(**{"filter__segments-1-segmentId": "Cart abandoners"})
    assert form.is_valid()
    assert "mergePolicy" not in form.body
    chosen = post(**{"filter__segments-1-segmentId": VALUE, "mergePolicy__id": "mp-1"})
    assert chosen.is_valid()


def test_too_many_audiences_are_refused_not_cut() -> None:
    many = {f"filter__segments-{number}-segmentId": f"a-{number}" for number in range(typed.MAX_ROWS + 1)}
    form = post(**many)
    assert not form.is_valid()
    assert "at most 500" in str(form.segments.non_form_errors())
    assert form.body == {}


def test_kept_times_carry_the_zone_they_were_read_in() -> None:
    form = post(filter__fromIngestTimestamp="2026-07-01 00:00")
    assert form.settled()["filter__fromIngestTimestamp"] == ["2026-07-01 00:00+00:00"]


def test_what_adobe_says_about_a_field_stands_at_the_field() -> None:
    form = post()
    form.full_clean()
    form.add_api_errors(
        {"destination.datasetId": "not found", "filter.segments.0.segmentId": "unknown", "odd.one": "no"}
    )
    found = errors(form)
    assert found["dataset"] == "not found"
    assert found["who"] == "unknown"
    assert found["__all__"] == "odd.one: no"


def test_a_draft_is_shown_as_typed_without_faults() -> None:
    as_typed = {"who": ["everyone"], "fields": ["loyalty.tier", "x.y"], "filter__segments-0-segmentId": ["Lapsd"]}
    form = RequestForm.show(as_typed, CATALOGUE)
    assert not form.is_bound
    assert form["who"].value() == "everyone"
    assert [field.path for field in form.offered_fields.first if field.chosen] == ["loyalty.tier"]
    assert "x.y" in str(form["profile_fields"])
    assert 'value="Lapsd"' in str(form.segments.forms[0]["segment_id"])


texts = st.text(max_size=60) | st.sampled_from(["on", LAPSED, "2026-07-01 00:00", "everyone", "all", "a,b", "-1", "Z"])
names = st.sampled_from(sorted(typed.KEPT)) | st.builds(
    "filter__segments-{}-{}".format, st.integers(0, 10**6), st.sampled_from([*typed.ROW_PARTS, "DELETE"])
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, st.lists(texts, min_size=1, max_size=3), max_size=10))
def test_any_form_is_fine_or_told_and_nothing_typed_is_lost(lists: dict[str, list[str]]) -> None:
    query = QueryDict(mutable=True)
    for key, values in {**{key: [value] for key, value in MINIMAL.items()}, **lists}.items():
        query.setlist(key, values)
    as_typed = typed.read(query)
    form = RequestForm.check(as_typed, CATALOGUE)
    if form.is_valid():
        assert RequestBody.problems(form.body) == {}
        assert form.body["destination"]["datasetId"]
        assert bool(form.body.get("filter", {}).get("segments")) == (form.cleaned_data["who"] == "audiences")
    else:
        assert form.body == {}
        assert errors(form) or form.segments.non_form_errors()
    shown = RequestForm.show(form.settled(), CATALOGUE)
    assert str(shown["purpose"])
    assert set(form.settled()) == set(as_typed)
