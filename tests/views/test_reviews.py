"""Periodic reviews: what a review keeps, who opens and signs one, and that neither changes afterwards."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.test import Client

from segadmin.actions import findings, people, register, reviews
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import (
    Action,
    EventContent,
    Explanation,
    Finding,
    Membership,
    Organization,
    Origin,
    RegisterEntry,
    Review,
    Role,
    Sandbox,
    SignOff,
    User,
    Verification,
)
from segadmin.queries import reviews as queries
from tests.conftest import make_person, make_sandbox, signed_in
from tests.factories import make_job
from tests.views.pages import get, text_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 7, 6, 9, 0, tzinfo=UTC)
MAY = datetime(2026, 5, 9, 10, 0, tzinfo=UTC)
FIRST, LAST = date(2026, 4, 1), date(2026, 6, 30)
BEN = Actor(kind="person", name="ben", id="9", roles=("auditor",))


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def quarter(prod: Sandbox, clock: time_machine.Traveller) -> Organization:
    """Two exports of May from outside, one of them explained; a standing explanation, and a role given."""
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=MAY - timedelta(days=20))
    clock.move_to(MAY, tick=False)
    for job_id in ("24127", "24128"):
        job = make_job(prod, job_id, origin=Origin.OUTSIDE, minutes_ago=30)
        register.refresh(jobs=[job])
    findings.look(prod)
    findings.explain(actor=BEN, finding=Finding.objects.order_by("pk")[0], note="The vendor")
    Explanation.objects.create(
        organization=prod.organization,
        sandbox=prod,
        dataset_id="x",
        owner="Mail vendor",
        reason="daily",
        valid_from_at=MAY,
        valid_until_at=MAY + timedelta(days=300),
        set_by="ben",
        set_at=MAY,
    )
    grant = people.Grant(role=Role.VIEWER, organization=prod.organization)
    people.give_role(actor=BEN, person=make_person("newcomer"), grant=grant)
    Verification.objects.create(at=MAY, by="segadmin sync", ok=True, first=1, last=3)
    clock.move_to(NOW, tick=False)
    return prod.organization


def opened(organization: Organization, first: date = FIRST, last: date = LAST) -> Review:
    return reviews.open_review(actor=BEN, organization=organization, first=first, last=last)


def posted(**values: object) -> dict[str, object]:
    return {"verdict": "open", "note": "Read with the vendor’s list beside it.", **values}


# -- opening -----------------------------------------------------------------------------------------------------------


def test_an_auditor_opens_the_last_quarter(quarter: Organization, auditor: User) -> None:
    client = signed_in(auditor)
    form = get(client, "/reviews/new/").content.decode()
    assert 'value="2026-04-01"' in form
    assert 'value="2026-06-30"' in form
    response = client.post("/reviews/new/", {"org": "acme", "from": "2026-04-01", "to": "2026-06-30"})
    review = Review.objects.get()
    assert (response.status_code, response.headers["Location"]) == (302, f"/reviews/{review.pk}/")
    [event] = EventContent.objects.filter(action=Action.REVIEW_OPENED)
    assert event.actor_name == "auditor"
    assert event.sentence == (
        "opened a review of Acme Retail, 1 April to 30 June 2026, UTC: 2 exports, 1 open finding, "
        f"as of record {review.up_to}"
    )
    details = json.loads(event.text)["details"]
    assert (details["sha256"], details["up_to"]) == (review.digest, review.up_to)
    assert details["counts"]["findings_explained_not_checked"] == 1
    assert review.seq == event.event_id == review.up_to + 1


def test_its_page_shows_what_was_so_then(quarter: Organization, auditor: User) -> None:
    review = opened(quarter)
    words = text_of(get(signed_in(auditor), f"/reviews/{review.pk}/"))
    for said in (
        "Review of Acme Retail, 1 April to 30 June 2026, UTC",
        "not signed",
        "2 jobs made in this time: 0 sent from here",
        "1 from outside, explained, not checked, 1 from outside without explanation",
        "Adobe’s list was never read to its end in this time.",
        "2 exports in the register",
        "In this time 2 were found and 0 closed. Of all up to its end, 1 were open, and 1 explained but not checked.",
        "Mail vendor",
        "nobody",
        "1 given, 0 taken",
        "gave newcomer the role viewer in Acme Retail",
        "Records 1 to 3 were unbroken",
        "No checkpoint from outside was compared.",
        "fits what is shown, and the record",
    ):
        assert said in words, said


def test_what_it_does_not_list_is_counted_with_a_way_to_it(
    quarter: Organization, auditor: User, monkeypatch: pytest.MonkeyPatch, clock: time_machine.Traveller
) -> None:
    clock.move_to(MAY, tick=False)
    findings.send_back(actor=Actor(kind="person", name="zoe"), finding=Finding.objects.order_by("pk")[0], note="no")
    rule = Explanation.objects.get()
    rule.pk = None
    rule.save()
    people.give_role(
        actor=BEN, person=make_person("second"), grant=people.Grant(role=Role.VIEWER, organization=quarter)
    )
    clock.move_to(NOW, tick=False)
    client = signed_in(auditor)
    whole = get(client, f"/reviews/{opened(quarter).pk}/").content.decode()
    assert "data-more" not in whole
    monkeypatch.setattr(queries, "LISTED", 1)
    review = opened(quarter)
    page = get(client, f"/reviews/{review.pk}/").content.decode()
    ways = dict(re.findall(r'<p data-more="([a-z]+)">.*?<a href="([^"]*)"', page))
    assert set(ways) == {"findings", "explanations", "roles"}
    older, newer = Finding.objects.order_by("pk")
    rest = get(client, unescape(ways["findings"])).content.decode()
    assert (f'href="/findings/{older.pk}/"' in rest, f'href="/findings/{newer.pk}/"' in rest) == (True, False)
    assert get(client, ways["explanations"]).content.decode().count("Mail vendor") == 2
    record = text_of(get(client, unescape(ways["roles"])))
    assert ("gave newcomer the role" in record, "gave second the role" in record) == (True, True)
    reviews.sign(actor=BEN, review=review, verdict="open", note="x")
    details = json.loads(EventContent.objects.get(action=Action.REVIEW_SIGNED).text)["details"]
    assert details["findings_open"] == [newer.pk, older.pk]
    assert details["counts"]["explanations"] == 2


def test_times_not_read_beyond_those_listed_are_on_the_statement(
    quarter: Organization, auditor: User, prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LISTED", 0)
    review = opened(quarter)
    page = get(signed_in(auditor), f"/reviews/{review.pk}/").content.decode()
    [way] = re.findall(r'<p data-more="gaps">.*?<a href="([^"]*)"', page)
    assert review.told["statement"]["gap_count"] > 0
    assert 'id="gaps"' in get(signed_in(auditor), unescape(way)).content.decode()


def test_the_exports_lead_to_the_register_of_these_days(quarter: Organization, auditor: User) -> None:
    client = signed_in(auditor)
    page = get(client, f"/reviews/{opened(quarter).pk}/").content.decode()
    [way] = re.findall(r'<a href="(/register/\?[^"]*)"', page)
    shown = get(client, unescape(way)).content.decode()
    rows = RegisterEntry.objects.values_list("pk", flat=True)
    assert len(rows) == 2
    assert all(f'href="/register/{pk}/"' in shown for pk in rows)


def test_later_changes_do_not_reach_it(quarter: Organization, auditor: User) -> None:
    review = opened(quarter)
    client = signed_in(auditor)
    before = text_of(get(client, f"/reviews/{review.pk}/")).partition("This review itself")[0]
    finding = Finding.objects.get(state=Finding.State.OPEN)
    findings.explain(actor=BEN, finding=finding, note="Also the vendor")
    Explanation.objects.update(owner="Somebody else")
    Organization.objects.update(name="Acme Group")
    after = text_of(get(client, f"/reviews/{review.pk}/")).partition("This review itself")[0]
    assert after.replace("Acme Group", "Acme Retail") == before


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("2026-04-01", "2026-07-06", "the last day has to be before today, UTC."),
        ("2026-06-30", "2026-04-01", "The last day is before the first one."),
        ("2020-01-01", "2026-06-30", "Choose at most three years."),
        ("x", "2026-06-30", "Write the day as year, month and day"),
    ],
)
def test_days_out_of_reach(quarter: Organization, auditor: User, first: str, last: str, sentence: str) -> None:
    response = signed_in(auditor).post("/reviews/new/", {"org": "acme", "from": first, "to": last})
    assert sentence in text_of(response)
    assert not Review.objects.exists()


def test_roles_in_the_whole_installation_are_told_and_not_linked(
    quarter: Organization, auditor: User, clock: time_machine.Traveller
) -> None:
    clock.move_to(MAY, tick=False)
    people.give_role(actor=BEN, person=make_person("chief"), grant=people.Grant(role=Role.ADMIN, organization=None))
    clock.move_to(NOW, tick=False)
    review = opened(quarter)
    seq = EventContent.objects.get(sentence__contains="gave chief").event_id
    page = get(signed_in(auditor), f"/reviews/{review.pk}/").content.decode()
    assert "gave chief the role admin in the whole installation" in page
    assert f'href="/audit/{seq}/"' not in page


# -- signing -----------------------------------------------------------------------------------------------------------


def test_an_auditor_signs_and_the_event_has_the_counts(quarter: Organization, auditor: User) -> None:
    review, client = opened(quarter), signed_in(auditor)
    words = text_of(client.post(f"/reviews/{review.pk}/sign/", posted(), follow=True))
    assert "Signed. It stays as it is, and stands on record." in words
    assert "Reviewed with open findings · auditor" in words
    assert "Read with the vendor’s list beside it." in words
    assert "Sign this review" not in words
    [event] = EventContent.objects.filter(action=Action.REVIEW_SIGNED)
    assert "(2 exports, 1 open finding, as of record" in event.sentence
    details = json.loads(event.text)["details"]
    open_pk = Finding.objects.get(state=Finding.State.OPEN).pk
    assert (details["verdict"], details["findings_open"]) == ("open", [open_pk])
    assert (details["up_to"], details["sha256"], details["opened_in_record"]) == (
        review.up_to,
        review.digest,
        review.seq,
    )
    assert SignOff.objects.get().seq == event.event_id


def test_signing_twice_is_harmless(quarter: Organization, auditor: User) -> None:
    review, client = opened(quarter), signed_in(auditor)
    client.post(f"/reviews/{review.pk}/sign/", posted())
    words = text_of(client.post(f"/reviews/{review.pk}/sign/", posted(note="Again")))
    assert "Again" not in words
    assert SignOff.objects.count() == 1
    assert EventContent.objects.filter(action=Action.REVIEW_SIGNED).count() == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"verdict": "reviewed"}, "It has open findings: sign it as reviewed with open findings"),
        ({"verdict": ""}, "You sign this as: Choose what you sign."),
        ({"note": " "}, "Write what you looked at, and what came of it."),
    ],
)
def test_what_can_not_be_signed(quarter: Organization, auditor: User, values: dict[str, object], sentence: str) -> None:
    review = opened(quarter)
    assert sentence in text_of(signed_in(auditor).post(f"/reviews/{review.pk}/sign/", posted(**values)))
    assert not SignOff.objects.exists()


def test_without_open_findings_it_is_just_reviewed(quarter: Organization) -> None:
    Finding.objects.update(state=Finding.State.CLOSED, closed_at=NOW, closed_by="ben")
    review = opened(quarter)
    with pytest.raises(NotDone, match="no open findings"):
        reviews.sign(actor=BEN, review=review, verdict="open", note="x")
    signed = reviews.sign(actor=BEN, review=review, verdict="reviewed", note="x")
    assert signed.verdict == SignOff.Verdict.REVIEWED


def test_a_guest_reads_and_does_not_sign(quarter: Organization, auditor: User) -> None:
    review = opened(quarter)
    Membership.objects.filter(user=auditor).update(ends_at=NOW + timedelta(days=30))
    client = signed_in(auditor)
    assert "guests read reviews and don’t sign them" in text_of(get(client, f"/reviews/{review.pk}/"))
    assert client.post(f"/reviews/{review.pk}/sign/", posted()).status_code == 403
    form = get(client, "/reviews/new/")
    assert "You can’t open a review." in text_of(form)
    assert "To the reviews" in text_of(form)
    assert "Then read it, and sign." not in text_of(form)
    client.post("/reviews/new/", {"org": "acme", "from": "2026-04-01", "to": "2026-06-30"})
    assert (Review.objects.count(), SignOff.objects.count()) == (1, 0)
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED, sentence__contains="signs no reviews").exists()


def test_a_lasting_role_counts_beside_one_that_ends(quarter: Organization, auditor: User) -> None:
    Membership.objects.filter(user=auditor).update(ends_at=NOW + timedelta(days=30))
    Membership.objects.create(user=auditor, organization=quarter, role=Role.ADMIN)
    review = opened(quarter)
    signed_in(auditor).post(f"/reviews/{review.pk}/sign/", posted())
    assert SignOff.objects.get().by == "auditor"


# -- who gets in -------------------------------------------------------------------------------------------------------


def test_others_do_not_get_in(quarter: Organization, operator: User, viewer: User, nordwind: Organization) -> None:
    review = opened(quarter)
    foreign = make_person("foreign", Role.AUDITOR, organization=nordwind)
    for person, status in ((operator, 403), (viewer, 403), (foreign, 404)):
        client = signed_in(person)
        assert client.get(f"/reviews/{review.pk}/").status_code == status
        assert client.post(f"/reviews/{review.pk}/sign/", posted()).status_code == status
    assert Client().get(f"/reviews/{review.pk}/").status_code == 302
    assert signed_in(foreign).get("/reviews/9999/").status_code == 404
    assert not SignOff.objects.exists()


def test_nobody_opens_one_of_another_org(quarter: Organization, nordwind: Organization) -> None:
    foreign = make_person("foreign", Role.AUDITOR, organization=nordwind)
    response = signed_in(foreign).post("/reviews/new/", {"org": "acme", "from": "2026-04-01", "to": "2026-06-30"})
    assert "acme" in text_of(response)
    assert not Review.objects.exists()
    assert "Acme" not in text_of(get(signed_in(foreign), "/reviews/"))


def test_signing_takes_a_post(quarter: Organization, auditor: User) -> None:
    assert signed_in(auditor).get(f"/reviews/{opened(quarter).pk}/sign/").status_code == 405


# -- it stays ----------------------------------------------------------------------------------------------------------


def test_neither_the_program_nor_the_database_changes_it(quarter: Organization) -> None:
    review = opened(quarter)
    signed = reviews.sign(actor=BEN, review=review, verdict="open", note="x")
    for row in (review, signed):
        with pytest.raises(PermissionError):
            row.save()
        with pytest.raises(PermissionError):
            row.delete()
    for statement in (
        "UPDATE segadmin_review SET digest = 'x'",
        "DELETE FROM segadmin_review",
        "UPDATE segadmin_signoff SET note = 'x'",
        "DELETE FROM segadmin_signoff",
    ):
        with (
            pytest.raises(DatabaseError, match="can not be changed"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_a_change_behind_the_triggers_back_shows_and_can_not_be_signed(
    quarter: Organization, auditor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = opened(quarter)
    client = signed_in(auditor)
    assert "was changed since it was opened" not in text_of(get(client, f"/reviews/{review.pk}/"))
    changed = {**review.told, "findings": {**review.told["findings"], "open": 0, "listed": []}}
    review.told = changed
    with pytest.raises(NotDone, match="was changed since it was opened"):
        reviews.sign(actor=BEN, review=review, verdict="reviewed", note="x")
    monkeypatch.setattr("segadmin.access.review", lambda *_args, **_more: review)
    assert "This review was changed since it was opened." in text_of(get(client, f"/reviews/{review.pk}/"))


def test_a_digest_of_its_own_does_not_fit_the_record(quarter: Organization) -> None:
    review = opened(quarter)
    assert queries.digest_on_record(review) == review.digest
    review.digest = "0" * 64
    assert queries.digest_on_record(review) == "differs"


# -- the list ----------------------------------------------------------------------------------------------------------


def test_the_list_says_which_quarters_have_none(
    quarter: Organization, auditor: User, clock: time_machine.Traveller
) -> None:
    clock.move_to(datetime(2026, 10, 2, tzinfo=UTC), tick=False)
    client = signed_in(auditor)
    assert [(row.period.first, row.kept) for row in queries.quarters([quarter])] == [
        (date(2026, 7, 1), None),
        (FIRST, None),
    ]
    page = get(client, "/reviews/").content.decode()
    assert 'href="/reviews/new/?org=acme&amp;from=2026-04-01&amp;to=2026-06-30"' in page
    assert page.count("none yet") == 2
    review = opened(quarter)
    assert "not signed" in text_of(get(client, "/reviews/"))
    reviews.sign(actor=BEN, review=review, verdict="open", note="x")
    words = text_of(get(client, "/reviews/"))
    assert "reviewed with open findings" in words
    assert words.count("none yet") == 1


def test_part_of_a_quarter_or_another_orgs_review_leaves_it_open(quarter: Organization, nordwind: Organization) -> None:
    make_sandbox(nordwind, "prod", connected_at=MAY)
    opened(quarter, FIRST, date(2026, 6, 29))
    opened(nordwind)
    assert [(row.organization.slug, row.kept is None) for row in queries.quarters([quarter, nordwind])] == [
        ("acme", True),
        ("nordwind", False),
    ]
    opened(quarter, date(2026, 1, 1), LAST)
    assert queries.quarters([quarter])[0].kept is not None


def test_a_second_review_shows_the_first(quarter: Organization, auditor: User) -> None:
    first = opened(quarter)
    reviews.sign(actor=BEN, review=first, verdict="open", note="x")
    second = opened(quarter)
    words = text_of(get(signed_in(auditor), f"/reviews/{second.pk}/"))
    assert f"Review {first.pk}, 1 April to 30 June 2026, UTC , reviewed with open findings by ben" in words
    assert queries.quarters([quarter])[0].kept == queries.kept(first)  # signed before unsigned


def test_the_list_is_paged(quarter: Organization, auditor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segadmin.queries.reviews.PAGE_SIZE", 2)
    rows = [opened(quarter).pk for _number in range(3)]
    client = signed_in(auditor)
    page = get(client, "/reviews/")
    assert f'href="?after={rows[1]}"' in page.content.decode()
    rest = get(client, f"/reviews/?after={rows[1]}").content.decode()
    assert f'data-review="{rows[0]}"' in rest
    assert f'data-review="{rows[1]}"' not in rest


def test_the_menu_has_it_beside_findings(quarter: Organization, auditor: User, operator: User) -> None:
    page = get(signed_in(auditor), "/reviews/").content.decode()
    assert page.index('href="/findings/"') < page.index('href="/reviews/"')
    assert 'href="/reviews/"' not in get(signed_in(operator), "/jobs/").content.decode()


def test_an_empty_list(auditor: User) -> None:
    words = text_of(get(signed_in(auditor), "/reviews/"))
    assert "There are no reviews." in words
    assert "No quarter is over yet" in words
