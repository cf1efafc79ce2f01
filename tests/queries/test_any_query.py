"""Whatever is asked of the searchable pages: they answer or explain, menus and line mean the same, cursors only move."""

import re
from typing import Any
from urllib.parse import urlencode

from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from segadmin.actions import register as registers
from segadmin.actions import register_terms
from segadmin.audit import Subject
from segadmin.models import Action, Organization, Role, Sandbox
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_request, raw_job
from tests.views.test_audit import write

ODD = [
    "", " ", "-", '"', '""', "\x00", "'", "%", "_", "\\", "(", "*", "..", "2026-02-30", "2026-03-01..2026-01-01", ">2026-01-01",
    "2999-12-31", "2000-01-01..", "..1999-01-01", "all", "99999999999999999999", "1..2", "9..1", "=", "=Größe", "İstanbul", "ß",
    "🌷", "e\u0301", "\u202eabc", "a" * 600, "CRM team", "MK-1, MK-2", "5f0c9d3e-1111-4222-8333-944445555666", "acme/prod",
    "export.*", "export.create", "-any", "?email", "possible-any", "certain-email", "email", "any", "yes", "here", "-",
    "12:30", "x:y", "jane@example.org", "\ud800", "AND", "OR 1=1--", "{}", "[", "$ne", "[0-9]+", "personalEmail.address", ".",
]  # fmt: skip
NAMES = ["actor", "person", "org", "sandbox", "action", "outcome", "left", "origin", "job", "request", "record", "audience",
         "dataset", "field", "recipient", "ticket", "pii", "created", "ended", "nothing", "ACTOR"]  # fmt: skip
values = st.one_of(st.sampled_from(ODD), st.text(max_size=12))
terms = st.builds(
    lambda sign, name, quote, several: f"{sign}{name}:{','.join(quote + one + quote for one in several)}",
    st.sampled_from(["", "-", "--"]),
    st.sampled_from(NAMES),
    st.sampled_from(["", '"']),
    st.lists(values, min_size=1, max_size=3),
)
CURSORS = st.datetimes().map(lambda at: f"{at.isoformat(timespec='microseconds')}Z_{at.microsecond}")
lines = st.lists(st.one_of(terms, values), max_size=5).map(" ".join)
MENUS = ["org", "sandbox", "person", "origin", "outcome", "left", "pii", "audience", "dataset", "recipient", "field", "ticket",
         "text", "basis", "from", "to", "after", "action", "request", "by", "view"]  # fmt: skip
menus = st.lists(st.tuples(st.sampled_from(MENUS), values), max_size=4)
# Choices that the register's menus can hold, so that a line of them can be compared with them.
CHOICES: list[tuple[str, str]] = [
    ("org", "acme"), ("sandbox", "acme/prod"), ("sandbox", "acme/stage"), ("person", "operator"), ("person", "-"),
    ("origin", "outside"), ("outcome", "succeeded"), ("left", "yes"), ("left", "possibly"), ("pii", "email"), ("pii", "?email"),
    ("pii", "any"), ("pii", "?any"), ("audience", "lapsed"), ("audience", "="), ("dataset", "CRM"), ("recipient", "größe"),
    ("recipient", "=CRM team"), ("recipient", "="), ("field", "personalEmail"), ("ticket", "mk-2"), ("text", "win-back letter"),
    ("text", 'say "a b" c'), ("text", "-x"), ("text", "a:b"), ("from", "2026-01-01"), ("to", "2100-01-01"), ("basis", "ended"),
]  # fmt: skip


class AnyQuery(TestCase):
    """A few exports and events; everything is asked by an auditor of one org."""

    acme: Organization
    client_of_auditor: Client

    @classmethod
    def setUpTestData(cls) -> None:
        cls.acme = Organization.objects.create(slug="acme", name="Acme Retail")
        prod, stage = (Sandbox.objects.create(organization=cls.acme, name=name) for name in ("prod", "stage"))
        operator = make_person("operator", Role.OPERATOR, organization=cls.acme)
        for number, recipient in enumerate(("CRM team", "Größe & Söhne", "", "print")):
            asked = make_request(prod, operator, recipient=recipient, ticket="MK-1, MK-2" if number else "")
            make_job(prod, f"2{number}", export_request=asked, origin="here", person="operator")
            write("asked", subject=Subject(sandbox=prod, request_uuid=asked.uuid), action=Action.EXPORT_CREATE)
        for number in range(3):
            raw = raw_job(f"3{number}", fields="" if number else "person.name", filter={})
            make_job(stage, f"3{number}", raw=raw, profiles=None)
            write("saw", subject=Subject(sandbox=stage, job_id=f"3{number}"), action=Action.JOB_SEEN)
        registers.rebuild()
        register_terms.rebuild()
        cls.client_of_auditor = signed_in(make_person("auditor", Role.AUDITOR, organization=cls.acme))

    def ask(self, page: str, given: list[tuple[str, str]]) -> Any:
        pairs = [(name, value.encode("utf-8", "surrogatepass")) for name, value in given]
        return self.client_of_auditor.get(f"{page}?{urlencode(pairs)}")

    def rows(self, given: list[tuple[str, str]]) -> tuple[set[str], str]:
        response = self.ask("/register/", given)
        text = response.content.decode()
        assert response.status_code == 200
        return set(re.findall(r'id="(entry-\d+)"', text)), text

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(line=lines, more=menus)
    @example(line="created:2026-02-30", more=[])
    @example(line="\ud800", more=[("text", "\ud800")])
    def test_pages_answer_or_explain(self, line: str, more: list[tuple[str, str]]) -> None:
        for page in ("/register/", "/audit/"):
            response = self.ask(page, [("q", line), *more])
            assert response.status_code in (200, 302), (page, line, more)
            if response.status_code == 200:
                text = response.content.decode()
                refused = 'aria-invalid="true"' in text or "errorlist" in text or 'class="note bad' in text
                shown = "entry-" in text or "data-seq=" in text
                assert not (refused and shown), (page, line, more)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(line=lines, more=menus, name=st.sampled_from(["exported", "where", "erasure", "processing", "breach"]))
    def test_answers_answer_or_explain(self, line: str, more: list[tuple[str, str]], name: str) -> None:
        page = {"exported": "/answers/"}.get(name, f"/answers/{name}/")
        response = self.ask(page, [("q", line), ("audiences", line), *more])
        assert response.status_code in (200, 302), (page, line, more)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(chosen=st.lists(st.sampled_from(CHOICES), max_size=5, unique_by=lambda pair: pair))
    def test_menus_and_the_line_that_they_write_find_the_same(self, chosen: list[tuple[str, str]]) -> None:
        singles = {"audience", "dataset", "recipient", "field", "ticket", "text", "from", "to", "basis"}
        kept = [pair for at, pair in enumerate(chosen) if pair[0] not in singles or pair[0] not in dict(chosen[:at])]
        found, _text = self.rows(kept)
        response = self.ask("/register/", [*kept, ("write", "1")])
        assert response.status_code == 302
        line = re.search(r"[?&]q=([^&]*)", response["Location"])
        again = self.client_of_auditor.get(response["Location"])
        assert set(re.findall(r'id="(entry-\d+)"', again.content.decode())) == found, (kept, line and line[1])

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(line=st.sampled_from(["", "ticket:mk-1", "origin:outside", "win-back"]), after=st.one_of(values, CURSORS))
    def test_a_cursor_only_moves_within_what_is_asked(self, line: str, after: str) -> None:
        """Forged, of another filter, or of a row that is gone."""
        everything, _text = self.rows([("q", line)])
        found, text = self.rows([("q", line), ("after", after)])
        assert found <= everything
        number = re.search(r'<dt>Exports</dt><dd class="num">(?:<b>|<a [^>]*>)?([\d,]+)', text)
        assert number is None or int(number[1].replace(",", "")) == len(everything)
