"""Answers against the rows of the register that they are made of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from segadmin.actions import register as actions
from segadmin.audit import Actor
from segadmin.models import DataLeft, Name, Organization, Origin, RegisterEntry, RequestState, Sandbox, State, User
from segadmin.queries import answers, answers_extracts, answers_files, answers_trace, charts, register
from segadmin.queries.answers_trace import DOES_NOT, MAY_CONTAIN, NOT_EXCLUDED
from segadmin.queries.register import Filters
from tests.factories import make_job, make_name, make_request, raw_job

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)


def no_lead(**_values: object) -> str:
    return ""


def raw(job_id: str, status: str, fields: str, segments: list[str], dataset: str = "ds-crm") -> dict[str, Any]:
    return {
        **raw_job(job_id, status),
        "fields": fields,
        "destination": {"datasetId": dataset},
        "filter": {"segments": [{"segmentId": segment} for segment in segments]},
    }


@pytest.fixture
def here(acme: Organization, prod: Sandbox, operator: User) -> list[int]:
    """Seven exports: two of the lapsed, of everyone, one that failed, runs, was refused, and of another audience."""
    with time_machine.travel(NOW, tick=False):
        make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
        make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed-2", "Lapsed donors")
        asked = make_request(prod, operator, minutes_ago=60 * 24 * 20, legal_basis="consent")
        values: dict[str, Any] = {"export_request": asked, "origin": Origin.HERE, "person": "operator", "profiles": 400}
        make_job(
            prod,
            "mail",
            minutes_ago=60 * 24 * 20,
            raw=raw("mail", "SUCCEEDED", "personalEmail.address", ["seg-lapsed"]),
            **values,
        )
        both = raw("both", "SUCCEEDED", "personalEmail,person.name", ["seg-lapsed", "seg-lapsed-2"])
        make_job(prod, "both", raw=both, minutes_ago=120, profiles=90)
        make_job(prod, "every", raw=raw("every", "SUCCEEDED", "", [], "ds-lake"), minutes_ago=60, profiles=None)
        make_job(
            prod,
            "fails",
            State.FAILED,
            raw=raw("fails", "FAILED", "homeAddress", ["seg-lapsed"]),
            batch_ids=["b"],
            profiles=None,
        )
        make_job(
            prod, "runs", State.RUNNING, raw=raw("runs", "PROCESSING", "homeAddress", ["seg-lapsed"]), profiles=None
        )
        make_request(prod, operator, RequestState.REFUSED, minutes_ago=6, recipient="Print house")
        make_job(prod, "other", raw=raw("other", "SUCCEEDED", "homeAddress", ["seg-new"], "ds-lake"), profiles=5)
        actions.rebuild()
    return [acme.pk]


def row_of(job_id: str) -> RegisterEntry:
    return RegisterEntry.objects.get(job__job_id=job_id)


def numbers(found: answers.Exported) -> dict[str, int]:
    return {group.key: group.sums.exports for group in found.groups}


# -- who exported what ------------------------------------------------------------------------------------------------


def test_the_total_is_of_each_export_once_and_as_the_register_counts(here: list[int]) -> None:
    total, counted = answers.exported(here, {}, "audience").total, register.totals(here, {})
    assert total.exports == counted.exports == RegisterEntry.objects.count() == 7
    assert (total.yes, total.possibly, total.no, total.not_yet) == (4, 1, 1, 1)
    assert (counted.left_yes, counted.left_possibly) == (total.yes, total.possibly)
    assert total.profiles["adobe"] == counted.profiles == 495
    assert total.counted["adobe"] == counted.reported == 3
    assert total.not_reported == 2


@pytest.mark.parametrize("by", ["audience", "dataset", "recipient", "field", "org", "person"])
def test_each_number_is_the_number_of_rows_that_its_filter_finds(here: list[int], by: str) -> None:
    found = answers.exported(here, {}, by)
    assert found.groups
    for group in found.groups:
        narrowed: dict[str, Any] = {by: f"={group.key}"}
        if by == "field":
            narrowed = {"field": group.key}
        if by == "person":
            narrowed = {"persons": [group.key]}
        if by == "org":
            narrowed = {}
        rows = register.matching(here, Filters(**narrowed))  # type: ignore[typeddict-item]
        assert rows.count() == group.sums.exports, group.key


def test_groups_by_audience_tell_ids_apart_of_which_one_begins_with_the_other(here: list[int]) -> None:
    assert numbers(answers.exported(here, {}, "audience")) == {"seg-lapsed": 5, "seg-lapsed-2": 1, "": 1, "seg-new": 1}


def test_a_field_counts_what_contains_it_and_what_it_contains_and_all_fields(here: list[int]) -> None:
    found = numbers(answers.exported(here, {}, "field"))
    assert found == {
        "personalemail.address": 4,
        "personalemail": 4,
        "person.name": 2,
        "homeaddress": 4,
        "*": 1,
    }


def test_months_are_those_of_the_readers_zone(prod: Sandbox, acme: Organization) -> None:
    with time_machine.travel(datetime(2026, 7, 1, tzinfo=UTC), tick=False):
        make_job(prod, "early", minutes_ago=330)  # 18:30 UTC on 30 June: after midnight in Kathmandu
        make_job(prod, "earlier", minutes_ago=350)  # 18:10 UTC: before
        actions.rebuild()
    with timezone.override("Asia/Kathmandu"):
        found = answers.exported([acme.pk], {}, "period")
        assert numbers(found) == {"2026-06": 1, "2026-07": 1}
    assert numbers(answers.exported([acme.pk], {}, "period")) == {"2026-06": 2}


def test_what_has_not_ended_is_counted_apart_by_end(here: list[int]) -> None:
    found = answers.exported(here, {"basis": "ended"}, "period")
    assert found.no_end == numbers(found)[""] == 2
    assert sum(numbers(found).values()) == 7


def test_profiles_state_their_source_and_are_at_most_where_sums_overlap(here: list[int]) -> None:
    assert answers.exported(here, {}, "org").total.told == [
        "at most 495, Adobe’s count of 3 exports",
        "not reported for 2 exports",
    ]
    assert answers.exported(here, {"audience": "=seg-new"}, "org").total.told == ["5, Adobe’s count of 1 export"]
    assert answers.exported(here, {"audience": "=nobody"}, "org").total.told == ["none"]


def test_other_orgs_are_not_read(here: list[int], foreign: Sandbox) -> None:
    make_job(foreign, "theirs")
    actions.rebuild()
    assert answers.exported(here, {}, "org").total.exports == 7


@pytest.mark.parametrize(
    ("months", "bars", "title"), [(1, 1, "month"), (24, 24, "month"), (30, 11, "quarter"), (90, 8, "year")]
)
def test_a_long_time_is_drawn_by_quarters_or_years(months: int, bars: int, title: str) -> None:
    found = {((2020 * 12 + 1 + at) // 12, (2020 * 12 + 1 + at) % 12 + 1): answers.Month(1, 1) for at in range(months)}
    chart = charts.chart(found, no_lead, {})
    assert chart is not None
    assert (len(chart.bars), chart.title) == (bars, f"Exports a {title}")
    assert sum(bar.exports for bar in chart.bars) == 2 * months
    assert "Most in" in chart.told


# -- where it went ----------------------------------------------------------------------------------------------------


def test_where_an_audience_went(here: list[int], actor: Actor) -> None:
    entry = row_of("mail")
    values = {name: getattr(entry, name) for name in ("purpose", "legal_basis", "ticket")}
    actions.amend(actor=actor, entry=entry, values={**values, "recipient": "Print house"}, why="typed wrong", version=0)
    filters: Filters = {"audience": "=seg-lapsed"}
    goals = answers_trace.goals(here, filters, no_lead)
    told = {(goal.how, goal.dataset_id, goal.recipient): (goal.sums.exports, goal.before) for goal in goals}
    assert told == {
        ("named", "ds-crm", "Print house"): (1, {"CRM team"}),
        ("named", "ds-crm", ""): (3, set()),
        ("everyone", "ds-lake", ""): (1, set()),
    }


def test_where_a_field_went_counts_no_refusals(here: list[int]) -> None:
    found = [item.facts.job for item in answers_trace.where(here, {"field": "personalEmail.address"})]
    assert sorted(map(str, found)) == ["both", "every", "mail"]


def test_where_with_a_filter_on_what_left(here: list[int]) -> None:
    filters: Filters = {"audience": "=seg-lapsed", "left": [DataLeft.NO]}
    assert list(answers_trace.where(here, filters)) == []


# -- erasure ----------------------------------------------------------------------------------------------------------


def verdicts(here: list[int], *audiences: str) -> dict[str, str]:
    return {
        item.facts.job or item.facts.outcome: rule.verdict
        for rule in answers_trace.rules(audiences)
        for item in answers_trace.traced(here, {}, rule)
    }


def test_each_export_has_one_verdict(here: list[int]) -> None:
    assert verdicts(here, "seg-lapsed-2", "lapsed buyers") == {
        "mail": MAY_CONTAIN,
        "both": MAY_CONTAIN,
        "fails": MAY_CONTAIN,
        "runs": NOT_EXCLUDED,
        "every": NOT_EXCLUDED,
        "refused": DOES_NOT,
        "other": DOES_NOT,
    }
    trace = answers_trace.trace(here, {}, ["seg-lapsed-2", "lapsed buyers"], no_lead)
    assert trace.exports == 7
    assert trace.audiences == {"seg-lapsed": "Lapsed buyers", "seg-lapsed-2": "Lapsed donors"}


def test_an_empty_export_and_one_whose_answer_was_lost(prod: Sandbox, acme: Organization, operator: User) -> None:
    make_job(prod, "empty", profiles=0)
    make_request(prod, operator, RequestState.UNKNOWN)
    actions.rebuild()
    assert verdicts([acme.pk], "seg-lapsed") == {"empty": DOES_NOT, "unknown": MAY_CONTAIN}
    assert verdicts([acme.pk], "seg-new") == {"empty": DOES_NOT, "unknown": DOES_NOT}


def test_whom_to_tell(here: list[int]) -> None:
    trace = answers_trace.trace(here, {}, ["seg-lapsed", "seg-none"], no_lead)
    told = [(one.name, one.may_contain, one.not_excluded, one.names) for one in trace.recipients]
    assert told == [("CRM team", 1, 0, ["CRM out"]), ("", 2, 2, ["ds-crm", "ds-lake"])]
    assert trace.unmatched == ["seg-none"]


# -- extracts ---------------------------------------------------------------------------------------------------------


def test_purposes_with_data_people_recipients_and_basis(here: list[int]) -> None:
    found = answers_extracts.purposes(here, {})
    told = {(one.purpose or one.note, one.legal_basis): one for one in found}
    letter = told["Win-back letter in July", "consent"]
    assert letter.kinds[0] == ["email"]
    assert (letter.people, letter.recipients, letter.sums.exports) == ({"Lapsed buyers"}, {"CRM team"}, 1)
    outside = told["not asked for here: purpose not known", ""]
    assert outside.sums.exports == outside.unsaid == 5
    assert "everyone in the profile store" in outside.people
    assert len(found) == 2  # the refused one is no processing


def test_a_breach_counts_what_left(here: list[int]) -> None:
    found = answers_extracts.breach(here, {}, no_lead)
    assert (found.total.exports, found.everyone, found.all_fields, found.total.largest) == (5, 1, 1, 400)
    for part in found.parts["category"]:
        column = "certain" if part.sureness == "certain" else "possible"
        rows = register.matching(here, {"left": answers.GONE, column: [part.key]})  # type: ignore[misc]
        assert rows.count() == part.sums.exports, part.key


# -- files ------------------------------------------------------------------------------------------------------------


def lines(parts: Any) -> tuple[int, list[str]]:
    found = list(parts)
    return sum(rows for rows, _data in found), b"".join(data for _rows, data in found).decode().splitlines()


@pytest.mark.parametrize(
    ("answer", "make"),
    [
        ("exported", lambda here: answers_files.exported(here, {}, "audience")),
        ("where", lambda here: answers_files.where(here, {"audience": "lapsed"})),
        ("erasure", lambda here: answers_files.erasure(here, {}, ["lapsed"])),
        ("processing", lambda here: answers_files.processing(here, {})),
        ("breach", lambda here: answers_files.breach(here, {})),
    ],
)
def test_files_have_their_documented_columns(here: list[int], answer: str, make: Callable[[list[int]], Any]) -> None:
    rows, text = lines(make(here))
    assert text[0] == ",".join(answers_files.COLUMNS[answer])
    assert rows == len(text) - 1 > 0
    assert answers_files.columns_of({"chosen": {"answer": [answer]}}) == answers_files.COLUMNS[answer]


def test_the_erasure_file_has_every_export_once(here: list[int]) -> None:
    rows, _text = lines(answers_files.erasure(here, {}, ["lapsed"]))
    assert rows == RegisterEntry.objects.count()


def test_a_formula_is_text(prod: Sandbox, acme: Organization, operator: User) -> None:
    make_request(prod, operator, recipient="=HYPERLINK(1)", state=RequestState.UNKNOWN)
    actions.rebuild()
    _rows, text = lines(answers_files.exported([acme.pk], {}, "recipient"))
    assert text[1].startswith("recipient,'=HYPERLINK(1),'=HYPERLINK(1),1,")


def test_a_period_narrows_all_of_them(here: list[int]) -> None:
    filters: Filters = {"from_at": NOW - timedelta(days=30), "to_at": NOW - timedelta(days=10)}
    assert answers.exported(here, filters, "org").total.exports == 1
    assert answers_extracts.breach(here, filters, no_lead).total.exports == 1
    assert answers_trace.trace(here, filters, ["lapsed"], no_lead).exports == 1
