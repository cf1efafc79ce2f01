"""What an event's details say in words: every kind of event that is written, and whatever may be written one day."""

import json
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from segadmin.queries.event_values import MOST_ITEMS, Value
from segadmin.queries.event_words import Fact, Told, ids, told

NAMES = {("dataset", "58ee92"): "CRM out", ("audience", "d1988b"): "Lapsed buyers"}


def words(found: tuple[Value, ...]) -> list[str]:
    signs = {"removed": "− ", "added": "+ ", "": ""}
    return [f"{signs[value.sign]}{value.text}" for value in found]


def facts(found: Told) -> dict[str, Any]:
    return {fact.label: [facts(Told(facts=fact.facts))] if fact.facts else words(fact.values) for fact in found.facts}


def changes(details: dict[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
    return {one.label: (words(one.before), words(one.after)) for one in told(details, NAMES).changes}


# -- differences ------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_told_item_by_item() -> None:
    found = changes(
        {
            "before": {"watched": False, "scopes": "openid,AdobeID", "name": "Acme", "fingerprint": "c1bd7b2f"},
            "after": {"watched": True, "scopes": "openid,session", "name": "Acme", "fingerprint": "ed431385"},
        }
    )
    assert found == {
        "Watched": (["− no"], ["+ yes"]),
        "Fingerprint": (["− c1bd7b2f"], ["+ ed431385"]),
        "Scopes": (["openid", "− AdobeID"], ["openid", "+ session"]),
    }


def test_a_first_value_has_nothing_before_and_a_last_one_nothing_after() -> None:
    given_ = {"before": {}, "after": {"role": "auditor", "ends_at": ""}}
    assert changes(given_) == {"Role": ([], ["+ auditor"]), "Until": ([], ["+ no end"])}
    assert changes({"before": {"watched": ["prod", "stage"]}, "after": {}}) == {"Watched": (["− prod", "− stage"], [])}


def test_lengths_and_counts_have_their_units() -> None:
    found = changes(
        {
            "before": {"register_months": 36, "checkpoint_minutes": 60, "witness_mail": ""},
            "after": {"register_months": 18, "checkpoint_minutes": 1, "witness_mail": "audit@example.com"},
        }
    )
    assert found == {
        "Exports and changes are kept": (["− 3 years"], ["+ 18 months"]),
        "Checkpoints by mail to": (["− nobody"], ["+ audit@example.com"]),
        "A checkpoint every": (["− 60 minutes"], ["+ 1 minute"]),
    }


def test_what_a_job_exports_is_told_by_names() -> None:
    details = {
        "before": {"dataset": "58ee92", "fields": ["a.b"], "audiences": ["d1988b"], "shape": "x"},
        "after": {"dataset": "other", "fields": [], "audiences": ["d1988b"], "shape": "x"},
    }
    assert set(ids(details)) == {("dataset", "58ee92"), ("dataset", "other"), ("audience", "d1988b")}
    assert changes(details) == {"Fields": (["− a.b"], ["+ all fields"]), "Dataset": (["− CRM out"], ["+ other"])}
    (dataset,) = told(details, NAMES).changes[1].before
    assert dataset.key == "58ee92"


def test_a_change_of_state_is_one_line() -> None:
    assert changes({"before": "cancelling", "state": "cancelled", "status": "CANCELLED"}) == {
        "State": (["− Cancelling"], ["+ Cancelled"])
    }


def test_lines_of_the_personal_data_map_are_one_difference() -> None:
    found = told({"added": ["a → email"], "removed": ["b → none"], "version": 2}, {})
    assert facts(found) == {"Lines changed": ["− b → none", "+ a → email"], "Version": ["2"]}


# -- the rest ---------------------------------------------------------------------------------------------------------

REQUEST = {
    "body": {
        "destination": {"datasetId": "58ee92", "segmentPerBatch": False},
        "fields": "personalEmail.address,person.name",
        "filter": {
            "segments": [{"segmentId": "d1988b", "segmentNs": "ups", "status": ["exited"]}],
            "emptyProfiles": True,
        },
        "schema": {"name": "_xdm.context.profile"},
    },
    "names": {"audiences": [{"id": "d1988b", "name": "Lapsed buyers", "profiles": 27455}], "dataset": {"id": "58ee92"}},
    "purpose": "Win-back",
}


def test_a_request_is_told_by_the_names_of_then_and_loses_nothing() -> None:
    assert facts(told(REQUEST, NAMES)) == {
        "Audiences": ["Lapsed buyers"],
        "Fields": ["personalEmail.address", "person.name"],
        "Dataset": ["CRM out"],
        "destination.segmentPerBatch": ["no"],
        "filter.emptyProfiles": ["yes"],
        "segments.1.status": ["exited"],
        "schema.name": ["_xdm.context.profile"],
        "Purpose": ["Win-back"],
    }
    (audience,) = told(REQUEST, NAMES).facts[0].values
    assert (audience.key, audience.note) == ("d1988b", "then about 27,455 profiles")


def test_a_request_of_everyone_and_everything_says_so() -> None:
    found = facts(told({"body": {"destination": {"datasetId": "58ee92"}}}, NAMES))
    assert found == {"Audiences": ["everyone, no audience"], "Fields": ["all fields"], "Dataset": ["CRM out"]}


def test_adobes_answer_is_told_name_by_name() -> None:
    found = told({"answer": {"id": 7, "metrics": {"totalTime": {"startTimeInMs": 5}}, "tags": []}, "status": 200}, {})
    assert [(fact.label, words(fact.values), fact.is_path) for fact in found.answer] == [
        ("id", ["7"], True),
        ("metrics.totalTime.startTimeInMs", ["5"], True),
        ("tags", ["nothing"], True),
    ]
    assert facts(found) == {"Adobe’s status": ["200"]}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"person": {"id": 2, "name": "operator"}}, {"Account": ["operator"]}),
        ({"reason": "", "sessions_ended": 0, "also_for_exports_before": False},
         {"Sessions ended": ["0"], "Also for exports made before": ["no"]}),
        ({"records": [1, 2, 3, 7, 1000]}, {"Records": ["1 to 3, 7, 1,000"]}),
        ({"asked_in_record": 47900}, {"Asked in": ["record 47,900"]}),
        ({"profiles": 41200}, {"Profiles": ["41,200"]}),
        ({"size": 52098}, {"Size": ["52,098 bytes"]}),
        ({"why": "adobe"}, {"Why": ["Adobe could not be read"]}),
        ({"why": "The wrong ticket"}, {"Why": ["The wrong ticket"]}),
        ({"from": "2026-07-02T09:00:00+00:00"}, {"From": ["2 July 2026 09:00:00 UTC"]}),
        ({"records": {"events": 102, "jobs": 12}}, {"Records": [{"Events": ["102"], "Jobs": ["12"]}]}),
        ({"something_new": ["a", {"deep": [1]}]}, {"Something new": ["a", "deep: 1"]}),
    ],
)  # fmt: skip
def test_facts(details: dict[str, Any], expected: dict[str, Any]) -> None:
    assert facts(told(details, {})) == expected


def test_times_are_those_of_the_reader() -> None:
    with timezone.override("Europe/Berlin"):
        (value,) = told({"valid_until": "2026-07-02T22:30:00+00:00"}, {}).facts[0].values
    assert (value.text, value.machine) == ("3 July 2026 00:30:00 CEST", "2026-07-02T22:30:00Z")


def test_things_of_one_sort_are_a_table() -> None:
    steps = [
        {"name": "Access token", "ok": True, "seconds": "0.01", "text": "Adobe gave one.", "request_id": ""},
        {"name": "Export list, prod", "ok": False, "seconds": "0.04", "text": "403", "request_id": ""},
    ]
    table = told({"steps": steps}, {}).facts[0].table
    assert table is not None
    assert table.head == ("Name", "Works", "What it said", "Took")
    assert [[words(cell) for cell in row] for row in table.rows] == [
        [["Access token"], ["yes"], ["Adobe gave one."], ["0.01 s"]],
        [["Export list, prod"], ["no"], ["403"], ["0.04 s"]],
    ]


def test_links_lead_to_what_they_name() -> None:
    found = {
        fact.label: fact.values[0].url
        for fact in told({"register_row": 45, "file": "4aas-1186-av7f", "x": 1}, {}).facts
    }
    assert found == {"Register": "/register/45/", "File": "/files/4aas-1186-av7f/", "X": ""}
    assert told({"file": "../../x", "register_row": -1}, {}).facts[1].values[0].url == ""


def test_long_lists_say_how_many_more_there_are() -> None:
    (fact,) = told({"gone": [f"sandbox {number}" for number in range(MOST_ITEMS + 3)]}, {}).facts
    assert len(fact.values) == MOST_ITEMS + 1
    assert fact.values[-1].text == "and 3 more, in the whole text"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=15,
)
KNOWN = (
    "before after added removed body names answer person audiences fields records dataset steps file ends_at kind state"
)
KEYS = st.sampled_from([*KNOWN.split(), "merge_policy"])


@given(st.dictionaries(KEYS | st.text(max_size=10), JSON, max_size=6))
def test_anything_can_be_told(details: dict[str, Any]) -> None:
    """Shapes that nobody writes today must not break the page, and no text is lost."""
    found = told(details, {})
    assert isinstance(found, Told)
    list(ids(details))


def everything(found: Told) -> str:
    def of(fact: Fact) -> str:
        table = "".join(value.text for row in fact.table.rows for cell in row for value in cell) if fact.table else ""
        here = " ".join(value.text for value in fact.values)
        return f"{fact.label} {here} {table} {' '.join(of(one) for one in fact.facts)}"

    return " ".join([*map(of, found.facts), *map(of, found.answer)])


@given(st.lists(st.sampled_from(["key", "steps", "note"]), min_size=1, max_size=5), st.integers(10**6, 10**9))
def test_a_value_is_found_however_deep_it_lies(path: list[str], number: int) -> None:
    value: Any = f"<{number}>"
    for key in path:
        value = {key: [value]} if key == "steps" else {key: value}
    assert str(number) in everything(told(value, {})), json.dumps(value)
