"""The form as posted by browsers and by other clients: nothing known is lost, nothing unknown is kept."""

from typing import Any

from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from segadmin.aep.types import ExportRequest as RequestBody
from segadmin.forms import typed


def read(query: str) -> typed.Typed:
    return typed.read(QueryDict(query))


def test_unknown_fields_are_dropped() -> None:
    assert read("purpose=x&csrfmiddlewaretoken=t&draft=1&autosave=1&is_staff=1&segmentId=a") == {"purpose": ["x"]}


def test_rows_are_read_without_management_fields_and_numbered_anew() -> None:
    found = read("filter__segments-2-segmentId=b-1&filter__segments-0-segmentId=&filter__segments-9-segmentId=c-1")
    assert found == {"filter__segments-0-segmentId": ["b-1"], "filter__segments-1-segmentId": ["c-1"]}
    data = typed.as_data(found, 1)
    assert data["filter__segments-TOTAL_FORMS"] == "3"
    assert data["filter__segments-INITIAL_FORMS"] == "0"


def test_wrong_management_fields_lose_no_row() -> None:
    found = read("filter__segments-TOTAL_FORMS=1&filter__segments-0-segmentId=a-1&filter__segments-1-segmentId=b-1")
    assert typed.count_rows(found) == 2


def test_a_repeated_row_field_names_several_audiences() -> None:
    found = read("filter__segments-0-segmentId=a-1&filter__segments-0-segmentId=b-1&filter__segments-0-status=exited")
    assert found["filter__segments-0-segmentId"] == ["a-1"]
    assert found["filter__segments-1-segmentId"] == ["b-1"]
    assert found["filter__segments-1-status"] == ["exited"]


def test_a_blank_row_with_ticks_is_no_row_but_a_lonely_namespace_is() -> None:
    assert read("filter__segments-0-segmentId=&filter__segments-0-status=realized") == {}
    assert typed.count_rows(read("filter__segments-0-segmentNs=AAM")) == 1


def test_a_nul_becomes_visible() -> None:
    assert read("purpose=a%00b") == {"purpose": ["a\ufffdb"]}


def test_a_form_with_presets_only_says_nothing() -> None:
    assert not typed.says_anything(read("who=audiences&which=these&form_key=k&purpose=+&schema__name=_xdm"))
    assert typed.says_anything(read("ticket=MK-1"))


FULL: dict[str, Any] = {
    "fields": "identityMap,person.name",
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 2},
    "filter": {
        "segments": [
            {"segmentId": "52c26d0d", "segmentNs": "AAM", "status": ["realized", "exited"]},
            {"segmentId": "8d1f3a60"},
        ],
        "segmentQualificationTime": {"startTime": "2026-06-01T00:00:00Z", "endTime": "2026-07-01T00:00:00Z"},
        "fromIngestTimestamp": "2026-06-15T10:30:00Z",
        "emptyProfiles": True,
    },
    "additionalFields": {
        "eventList": {
            "fields": "_id,timestamp",
            "filter": {"fromIngestTimestamp": "2026-06-01T00:00:00Z", "toIngestTimestamp": "2026-06-02T00:00:00Z"},
        }
    },
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "segmentPerBatch": True},
    "schema": {"name": "_xdm.context.profile"},
    "evaluationInfo": {"segmentation": True},
}


def test_a_copy_of_everyone_with_all_fields_preselects_neither() -> None:
    copy = typed.from_body({"destination": {"dataSetId": "d1"}})
    assert copy == {"destination__datasetId": ["d1"], "schema__name": ["_xdm.context.profile"]}


def test_a_copy_fills_in_every_field() -> None:
    copy = typed.from_body(FULL)
    assert copy["filter__segments-0-status"] == ["realized", "exited"]
    assert copy["additionalFields__eventList__filter__toIngestTimestamp"] == ["2026-06-02 00:00+00:00"]
    assert {name.split("-")[0] for name in copy} == typed.KEPT - {
        "purpose",
        "recipient",
        "ticket",
        "legal_basis",
        "form_key",
        "copied_from",
    } | {"filter__segments"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FULL, "id", "errors"]), json_values, max_size=6))
def test_a_copy_of_anything_is_texts(raw: dict[str, Any]) -> None:
    copy = typed.from_body(raw)
    assert all(isinstance(text, str) for texts in copy.values() for text in texts)
    assert RequestBody.from_body(raw) is not None


@given(st.dictionaries(st.sampled_from(sorted(typed.KEPT)), st.lists(st.text(max_size=40), min_size=1), max_size=8))
def test_nothing_known_is_lost(lists: dict[str, list[str]]) -> None:
    post = QueryDict(mutable=True)
    for name, values in lists.items():
        post.setlist(name, values)
    found = typed.read(post)
    assert set(found) == set(lists)
    for name, values in lists.items():
        kept = [value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd") for value in values]
        assert found[name] == kept
