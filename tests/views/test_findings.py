"""The pages of findings and standing explanations."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from segadmin.actions import findings as actions
from segadmin.models import (
    Action,
    Event,
    EventContent,
    Explanation,
    Finding,
    Job,
    Organization,
    Origin,
    Role,
    Sandbox,
    State,
    User,
)
from tests.conftest import make_person, signed_in
from tests.factories import make_job
from tests.views.pages import get, link, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def finding(prod: Sandbox) -> Finding:
    """A job from outside, found by the search itself."""
    make_job(prod, "24127", origin=Origin.OUTSIDE)
    assert actions.look(prod) == 1
    return Finding.objects.get()


def other(finding: Finding, role: Role = Role.APPROVER) -> Client:
    return signed_in(make_person("second", role, organization=finding.organization))


def state(finding: Finding) -> str:
    finding.refresh_from_db()
    return finding.state


# -- the list ----------------------------------------------------------------------------------------------------------


def test_nothing_found_says_so(auditor: User) -> None:
    assert "Nothing was found." in text_of(get(signed_in(auditor), "/findings/"))


def test_the_list_shows_what_waits_for_somebody(finding: Finding, auditor: User) -> None:
    page = get(signed_in(auditor), "/findings/")
    assert f'data-finding="{finding.pk}" data-kind="outside" data-state="open"' in page.content.decode()
    assert "came from outside segadmin" in text_of(page)
    Finding.objects.update(state=Finding.State.CLOSED)
    page = get(signed_in(auditor), "/findings/")
    assert "No finding matches." in text_of(page)
    assert "data-finding" in get(signed_in(auditor), "/findings/?state=closed").content.decode()


def test_the_list_is_filtered_and_paged(prod: Sandbox, auditor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segadmin.queries.findings.PAGE_SIZE", 2)
    for number in range(5):
        make_job(prod, str(number), origin=Origin.OUTSIDE)
    actions.look(prod)
    client, seen, address = signed_in(auditor), [], "/findings/?kind=outside&org=acme"
    while address:
        page = get(client, address)
        seen += map(int, re.findall(r'data-finding="(\d+)"', page.content.decode()))
        address = f"/findings/{link(page, 'next')}" if link(page, "next") else ""
    assert seen == sorted(Finding.objects.values_list("pk", flat=True), reverse=True)
    assert "data-finding" not in get(client, "/findings/?kind=gone").content.decode()


@pytest.mark.parametrize("query", ["state=odd", "kind=odd", "org=nordwind", "after=x"])
def test_a_filter_that_can_not_be_applied_shows_nothing(finding: Finding, auditor: User, query: str) -> None:
    page = get(signed_in(auditor), f"/findings/?{query}")
    assert "data-finding" not in page.content.decode()
    assert "Nothing is shown." in text_of(page)


def test_findings_of_other_orgs_are_not_listed(finding: Finding, nordwind: Organization) -> None:
    foreign = signed_in(make_person("elsewhere", Role.AUDITOR, organization=nordwind))
    assert "data-finding" not in get(foreign, "/findings/").content.decode()
    assert foreign.get(f"/findings/{finding.pk}/").status_code == 404


# -- one finding -------------------------------------------------------------------------------------------------------


def test_explained_by_one_and_closed_by_another_on_pages(finding: Finding, operator: User, auditor: User) -> None:
    client, address = signed_in(operator), f"/findings/{finding.pk}/"
    assert "Explain this finding" in text_of(get(client, address))
    assert client.post(address, {"note": "The vendor’s run"}).status_code == 302
    page = text_of(get(client, address))
    assert "Explained by operator" in page
    assert "not checked" in page
    assert "You explained it yourself" in page
    client.post(f"{address}check/", {"verdict": "close"})
    assert state(finding) == "explained"
    second = other(finding)
    assert "Close this finding" in text_of(get(second, address))
    second.post(f"{address}check/", {"verdict": "close", "note": "asked them"})
    assert state(finding) == "closed"
    page = text_of(get(signed_in(auditor), address))
    assert "Closed by second" in page
    assert "The vendor’s run" in page
    told = list(EventContent.objects.filter(action__startswith="finding.").order_by("event_id"))
    assert [row.action for row in told] == [
        Action.FINDING_OPENED,
        Action.FINDING_EXPLAINED,
        Action.FINDING_CLOSED,
    ]
    assert [row.actor_name for row in told] == ["segadmin sync", "operator", "second"]
    assert f'href="/audit/{told[2].event_id}/"' in get(signed_in(auditor), address).content.decode()


def test_an_explanation_needs_words_and_typed_text_is_escaped(finding: Finding, operator: User) -> None:
    client, address = signed_in(operator), f"/findings/{finding.pk}/"
    page = get_posted(client, address, {"note": " "})
    assert "Write what it was." in page
    assert state(finding) == "open"
    client.post(address, {"note": "<script>alert(1)</script>\x00"})
    assert "<script>alert" not in get(client, address).content.decode()


def get_posted(client: Client, address: str, values: dict[str, str]) -> str:
    response = client.post(address, values)
    assert response.status_code == 200
    return text_of(response)


def test_sent_back_with_a_reason_it_is_open_again(finding: Finding, operator: User) -> None:
    signed_in(operator).post(f"/findings/{finding.pk}/", {"note": "A test"})
    second = other(finding, Role.ADMIN)
    second.post(f"/findings/{finding.pk}/check/", {"verdict": "back"})
    assert state(finding) == "explained"
    second.post(f"/findings/{finding.pk}/check/", {"verdict": "odd", "note": "x"})
    assert state(finding) == "explained"
    second.post(f"/findings/{finding.pk}/check/", {"verdict": "back", "note": "Whose?"})
    assert state(finding) == "open"
    assert "Whose?" in text_of(get(second, f"/findings/{finding.pk}/"))


def test_an_auditor_and_a_viewer_change_nothing(finding: Finding, auditor: User, viewer: User) -> None:
    page = text_of(get(signed_in(auditor), f"/findings/{finding.pk}/"))
    assert "auditors read them" in page
    assert signed_in(auditor).post(f"/findings/{finding.pk}/", {"note": "x"}).status_code == 403
    assert signed_in(auditor).post(f"/findings/{finding.pk}/check/", {"verdict": "close"}).status_code == 403
    assert signed_in(viewer).get(f"/findings/{finding.pk}/").status_code == 403
    assert state(finding) == "open"


def test_explaining_twice_is_answered_calmly(finding: Finding, operator: User) -> None:
    client = signed_in(operator)
    client.post(f"/findings/{finding.pk}/", {"note": "once"})
    events = Event.objects.count()
    assert "changed this finding meanwhile" in get_posted(client, f"/findings/{finding.pk}/", {"note": "twice"})
    assert Event.objects.count() == events


def test_many_gone_at_once_lists_its_jobs(prod: Sandbox, auditor: User) -> None:
    now = timezone.now()
    for number in range(6):
        make_job(prod, f"gone-{number}", origin=Origin.HERE, missing_since_at=now)
    actions.look(prod)
    page = text_of(get(signed_in(auditor), f"/findings/{Finding.objects.get().pk}/"))
    assert "Was the sandbox reset?" in page
    assert all(f"gone-{number}" in page for number in range(6))


# -- standing explanations ---------------------------------------------------------------------------------------------

TERMS = {"owner": "Mail vendor", "reason": "Their daily schedule"}


def until(days: int = 100) -> str:
    return (timezone.now() + timedelta(days=days)).date().isoformat()


def test_a_standing_explanation_from_finding_to_end(finding: Finding, operator: User, auditor: User) -> None:
    client = signed_in(operator)
    assert "no list" not in text_of(get(client, f"/findings/{finding.pk}/explanation/"))
    response = client.post(f"/findings/{finding.pk}/explanation/", {**TERMS, "valid_until": until()})
    rule = Explanation.objects.get()
    assert response.headers["Location"] == f"/explanations/{rule.pk}/"
    assert state(finding) == "explained"
    page = text_of(get(client, f"/explanations/{rule.pk}/"))
    assert "in force, not checked" in page
    assert "You set it yourself" in page
    client.post(f"/explanations/{rule.pk}/check/")
    assert state(finding) == "explained"
    second = other(finding)
    assert "Agree with this explanation" in text_of(get(second, f"/explanations/{rule.pk}/"))
    second.post(f"/explanations/{rule.pk}/check/")
    assert state(finding) == "closed"
    assert "Mail vendor" in text_of(get(signed_in(auditor), "/explanations/"))
    assert "Write why it ends." in get_posted(second, f"/explanations/{rule.pk}/end/", {"reason": ""})
    second.post(f"/explanations/{rule.pk}/end/", {"reason": "Contract over"})
    assert "ended" in text_of(get(second, "/explanations/"))
    assert EventContent.objects.filter(action=Action.EXPLANATION_ENDED).count() == 1
    second.post(f"/explanations/{rule.pk}/end/", {"reason": "Contract over"})
    assert EventContent.objects.filter(action=Action.EXPLANATION_ENDED).count() == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"owner": ""}, "Write who answers for these jobs."),
        ({"valid_until": "soon"}, "Write the day as year, month and day"),
        ({"valid_until": "2999-01-01"}, "within the next 12 months"),
    ],
)
def test_what_a_standing_explanation_needs(
    finding: Finding, operator: User, values: dict[str, str], words: str
) -> None:
    typed = {**TERMS, "valid_until": until(), **values}
    page = get_posted(signed_in(operator), f"/findings/{finding.pk}/explanation/", typed)
    assert words in page
    assert not Explanation.objects.exists()


def test_only_jobs_from_outside_can_be_explained_so(prod: Sandbox, operator: User) -> None:
    make_job(prod, "1", State.SUCCEEDED, origin=Origin.HERE, missing_since_at=timezone.now())
    actions.look(prod)
    finding, client = Finding.objects.get(), signed_in(operator)
    assert "Set a standing explanation" not in text_of(get(client, f"/findings/{finding.pk}/"))
    page = get_posted(client, f"/findings/{finding.pk}/explanation/", {**TERMS, "valid_until": until()})
    assert "Only an open finding about a job from outside" in page


def test_the_menu_leads_there_for_those_who_may(finding: Finding, operator: User, viewer: User) -> None:
    assert 'href="/findings/"' in get(signed_in(operator), "/jobs/").content.decode()
    assert 'href="/findings/"' not in get(signed_in(viewer), "/jobs/").content.decode()


def test_pages_of_explanations_are_for_the_org_only(finding: Finding, operator: User, stranger: User) -> None:
    signed_in(operator).post(f"/findings/{finding.pk}/explanation/", {**TERMS, "valid_until": until()})
    rule = Explanation.objects.get()
    assert signed_in(stranger).get(f"/explanations/{rule.pk}/").status_code == 404
    assert signed_in(stranger).post(f"/explanations/{rule.pk}/check/").status_code == 404
    assert Job.objects.count() == 1
