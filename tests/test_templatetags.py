"""The words, shapes and times that every page is made of."""

import gzip
import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django import forms
from django.conf import settings
from django.template import Context, Template
from django.template.loader import get_template, render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from segadmin.templatetags import segadmin as tags

NOW = datetime(2026, 7, 2, 9, 14, 7, tzinfo=UTC)
TEMPLATES = Path(settings.BASE_DIR) / "templates"
SYMBOLS = set(re.findall(r'<symbol id="i-([a-z]+)"', (TEMPLATES / "components/symbols.html").read_text()))


@pytest.fixture(autouse=True)
def nine_fourteen() -> Any:
    with time_machine.travel(NOW, tick=False), timezone.override("UTC"):
        yield


def render(source: str, **context: object) -> str:
    return Template("{% load segadmin %}" + source).render(Context(context))


class PurposeForm(forms.Form):
    purpose = forms.CharField(help_text="One sentence an outsider understands.")
    ticket = forms.CharField(required=False)
    why = forms.ChoiceField(
        label="Why?", choices=[("1", "Wrong audience"), ("2", "Wrong dataset")], widget=forms.RadioSelect
    )
    events = forms.BooleanField(required=False, help_text="They have no profile record.")
    token = forms.CharField(widget=forms.HiddenInput)


class TestShapes:
    def test_every_state_and_note_has_a_symbol_that_exists(self) -> None:
        drawn = {look.symbol for look in tags.STATE_LOOKS.values()} | set(tags.NOTE_SYMBOLS.values())
        assert drawn <= SYMBOLS

    def test_every_symbol_that_a_template_names_exists(self) -> None:
        named = {
            name for path in TEMPLATES.rglob("*.html") for name in re.findall(r'\{% icon "([a-z]+)"', path.read_text())
        }
        assert named
        assert named <= SYMBOLS

    def test_states_differ_by_shape_and_not_only_by_colour(self) -> None:
        seven = ["waiting", "running", "cancelling", "succeeded", "failed", "cancelled", "unknown"]
        assert len({tags.STATE_LOOKS[state].symbol for state in seven}) == 7

    def test_icon_is_decorative_unless_named(self) -> None:
        assert 'aria-hidden="true"' in tags.icon("done")
        assert 'role="img" aria-label="re&quot;move"' in tags.icon("x", label='re"move')

    def test_state_has_word_shape_and_second_line(self) -> None:
        html = tags.state_mark("Finished", "succeeded", "in <20> min")
        assert html.startswith('<span class="state ok"><svg')
        assert "#i-done" in html
        assert "<b>Finished</b><small>in &lt;20&gt; min</small>" in html

    def test_state_without_detail_has_no_second_line(self) -> None:
        assert "<small>" not in tags.state_mark("Finished", "succeeded")

    def test_safe_detail_keeps_its_markup(self) -> None:
        assert "<small><strong>Wait</strong></small>" in tags.state_mark(
            "Lost", "lost", SafeString("<strong>Wait</strong>")
        )

    def test_lead_state_is_larger(self) -> None:
        assert tags.state_mark("Finished", "succeeded", lead=True).startswith('<div class="lead">')

    def test_a_state_nobody_knows_never_looks_finished(self) -> None:
        html = tags.state_mark("Adobe says QUEUED_RETRY", "QUEUED_RETRY")
        assert "#i-odd" in html
        assert 'class="state soft"' in html

    @pytest.mark.parametrize("kind", ["production", "", None, "something new"])
    def test_all_but_development_counts_as_production(self, kind: str | None) -> None:
        assert tags.is_production(kind)
        assert 'class="prod nw"' in tags.sandbox_mark("prod", kind)

    def test_sandbox_is_name_and_type(self) -> None:
        assert "#i-prod" in tags.sandbox_mark("prod", "production")
        assert tags.sandbox_mark("prod", "production").endswith(" prod, production</span>")
        assert tags.sandbox_mark("stage", "development", small=True).startswith('<small class="dev nw">')
        assert "type not known" in tags.sandbox_mark("x", None)

    def test_names_from_adobe_are_escaped(self) -> None:
        assert "<script>" not in tags.sandbox_mark("<script>", "development")
        assert "<script>" not in tags.id_text("<script>alert(1)</script>")
        assert "<b>" not in tags.outcome_mark("<b>", "ok").replace("<b>Finished", "")

    def test_id_is_whole_in_the_page_and_cut_by_style_only(self) -> None:
        html = tags.id_text("5b7c86968f7b6501e21ba9df")
        assert html == '<span class="id" data-copy><i>5b7c86968f7b6501e21</i>ba9df</span>'

    def test_short_and_missing_ids(self) -> None:
        assert tags.id_text(24131, copy=False) == '<span class="id">24131</span>'
        assert tags.id_text(None) == tags.id_text("") == '<span class="soft">not known</span>'

    def test_note_wraps_its_block(self) -> None:
        html = render('{% note "warn" %}<strong>Stays.</strong> {{ name }}{% endnote %}', name="<x>")
        assert html.startswith('<div class="note warn"><svg')
        assert "<div><strong>Stays.</strong> &lt;x&gt;</div></div>" in html

    def test_messages_become_notes(self) -> None:
        assert [tags.note_kind(level) for level in ("success", "warning", "error", "info", "")] == [
            "ok", "warn", "bad", "soft", "soft",
        ]  # fmt: skip

    def test_totp_picture_is_inline_and_holds_no_data_address(self) -> None:
        html = tags.totp_picture("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&issuer=segadmin")
        assert html.startswith('<svg class="qr" viewBox="0 0 ')
        assert html.count("h1v1h-1z") > 300
        assert "data:" not in html
        assert "JBSWY3DPEHPK3PXP" not in html

    @pytest.mark.parametrize(
        ("agent", "name"),
        [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
            ("curl/8.14", "curl/8.14"),
            ("", "not told"),
        ],
    )
    def test_browser_name(self, agent: str, name: str) -> None:
        assert tags.browser_name(agent) == name


class TestTimes:
    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (datetime(2026, 7, 2, 9, 13, tzinfo=UTC), "09:13"),
            (datetime(2026, 7, 1, 17, 22, tzinfo=UTC), "1 July 17:22"),
            (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), "31 December 2025 23:59"),
            (None, "not known"),
        ],
    )
    def test_at(self, moment: datetime | None, text: str) -> None:
        assert tags.at(moment) == text

    def test_times_are_in_the_persons_zone(self) -> None:
        with timezone.override(zoneinfo.ZoneInfo("Europe/Berlin")):
            assert tags.at(NOW) == "11:14"
            assert tags.at_full(NOW) == "2 July 2026 11:14:07 CEST"

    def test_a_day_begins_when_it_does_in_the_persons_zone(self) -> None:
        with timezone.override(zoneinfo.ZoneInfo("Pacific/Auckland")):
            assert tags.at(datetime(2026, 7, 1, 11, 30, tzinfo=UTC)) == "1 July 23:30"
            assert tags.at(datetime(2026, 7, 1, 13, 0, tzinfo=UTC)) == "01:00"

    def test_full_time_has_seconds_and_zone(self) -> None:
        assert tags.at_full(NOW) == "2 July 2026 09:14:07 UTC"
        with timezone.override(zoneinfo.ZoneInfo("America/Sao_Paulo")):
            assert tags.at_full(NOW) == "2 July 2026 06:14:07 UTC-03:00"

    def test_clock_and_iso(self) -> None:
        assert tags.clock(NOW) == "09:14:07"
        assert tags.clock(NOW - timedelta(days=1)) == "1 July 09:14"
        assert tags.iso(NOW.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))) == "2026-07-02T09:14:07Z"
        assert tags.iso(None) == ""

    @pytest.mark.parametrize(
        ("before", "text"),
        [
            (timedelta(seconds=20), "just now"),
            (timedelta(seconds=50), "1 min ago"),
            (timedelta(minutes=33), "33 min ago"),
            (timedelta(minutes=59, seconds=45), "1 h ago"),
            (timedelta(hours=15, minutes=52), "16 h ago"),
            (timedelta(hours=23, minutes=44), "24 h ago"),
            (timedelta(days=3), "3 days ago"),
            (timedelta(minutes=-5), "in 5 min"),
        ],
    )
    def test_ago(self, before: timedelta, text: str) -> None:
        assert tags.ago(NOW - before) == text

    def test_time_elements_carry_the_whole_time(self) -> None:
        assert (
            tags.time_at(NOW) == '<time datetime="2026-07-02T09:14:07Z" title="2 July 2026 09:14:07 UTC">09:14</time>'
        )
        assert ">2 July 2026 09:14:07 UTC</time>" in tags.time_at(NOW, "full")
        assert "data-ago>just now</time>" in tags.time_ago(NOW)
        assert tags.time_at(None) == tags.time_ago(None) == '<span class="soft">not known</span>'

    @pytest.mark.parametrize(
        ("length", "text"),
        [
            (timedelta(minutes=20, seconds=4), "20 min 4 s"),
            (2, "2 s"),
            (0.2, "under 1 s"),
            (60, "1 min"),
            (3900, "1 h 5 min"),
            (timedelta(days=2, hours=3, minutes=4), "2 days 3 h"),
            (timedelta(days=1), "1 day"),
            (None, "not known"),
            (-5, "not known"),
        ],
    )
    def test_duration(self, length: timedelta | float | None, text: str) -> None:
        assert tags.duration(length) == text


class TestNumbers:
    def test_a_count_nobody_reported_is_never_nought(self) -> None:
        assert tags.thousands(None) == "not reported"
        assert tags.profiles(None) == "profiles not reported"
        assert tags.thousands(0) == "0"

    def test_counts(self) -> None:
        assert tags.thousands(41200) == "41,200"
        assert tags.profiles(1) == "1 profile"
        assert tags.profiles(41200, "about") == "about 41,200 profiles"

    @pytest.mark.parametrize(
        ("part", "whole", "text"), [(1, 4, "25.0%"), (5, 4, "100.0%"), (0, 4, "0%"), (1, 0, "0%"), (None, None, "0%")]
    )
    def test_percent_of(self, part: int | None, whole: int | None, text: str) -> None:
        assert tags.percent_of(part, whole) == text


class TestForms:
    def test_field_is_label_hint_error_control_in_that_order(self) -> None:
        html = render("{% field_row form.purpose %}", form=PurposeForm({}))
        places = [html.index(part) for part in ("<label", "_helptext", 'id="id_purpose_error"', "<input")]
        assert places == sorted(places)
        assert 'aria-describedby="id_purpose_helptext id_purpose_error"' in html
        assert 'aria-invalid="true"' in html

    def test_label_and_hint_can_be_replaced(self) -> None:
        html = render('{% field_row form.purpose label="What for" hint="In one sentence" %}', form=PurposeForm())
        assert ">What for</label>" in html
        assert "In one sentence" in html
        assert "outsider" not in html

    def test_a_blank_hint_hides_the_fields_own(self) -> None:
        assert "<small" not in render('{% field_row form.purpose hint=" " %}', form=PurposeForm())

    def test_only_optional_fields_say_so(self) -> None:
        assert "(optional)" in render("{% field_row form.ticket %}", form=PurposeForm())
        assert "(optional)" not in render("{% field_row form.purpose %}", form=PurposeForm())
        assert "(optional)" not in render("{% field_row form.events %}", form=PurposeForm())

    def test_choices_are_a_fieldset_with_its_error(self) -> None:
        html = render("{% field_row form.why %}", form=PurposeForm({}))
        assert '<fieldset class="field" aria-describedby="id_why_error">' in html
        assert html.count('type="radio"') == 2

    def test_choices_of_a_menu_are_those_that_django_would_draw(self) -> None:
        form = PurposeForm({"why": "<b>"})
        form.fields["why"] = forms.MultipleChoiceField(
            choices=[("a", "One"), ("<b>", "<Two>")], widget=forms.CheckboxSelectMultiple
        )
        html = render("{% choices form.why %}", form=form)
        assert (
            '<label><input type="checkbox" name="why" value="a" id="id_why_0" aria-invalid="true"> One</label>' in html
        )
        assert (
            '<input type="checkbox" name="why" value="&lt;b&gt;" checked aria-invalid="true"> &lt;Two&gt;</label>'
            in html
        )
        theirs = " ".join(str(choice.tag()) for choice in form["why"])
        shown = re.compile(r'value="[^"]*"|checked')
        assert shown.findall(html) == shown.findall(theirs)

    def test_the_summary_leads_to_the_first_choice_of_a_menu(self) -> None:
        form = PurposeForm({"why": "nothing of the kind"})
        assert re.search(
            r'<input type="radio"[^>]* id="id_why_0" aria-invalid="true">', render("{% choices form.why %}", form=form)
        )

    def test_a_placeholder_that_repeats_the_label_goes(self) -> None:
        form = PurposeForm()
        form.fields["purpose"].widget.attrs["placeholder"] = "Purpose"
        assert "placeholder" not in render("{% field_row form.purpose %}", form=form)

    def test_summary_links_to_the_fields_and_takes_the_focus(self) -> None:
        html = render("{% error_summary form %}", form=PurposeForm({}))
        assert "3 things to put right" in html
        assert 'role="alert" tabindex="-1"' in html
        assert '<a href="#id_purpose">Purpose: This field is required.</a>' in html
        assert '<a href="#id_why_0">Why: This field is required.</a>' in html
        assert 'href="#id_token"' not in html

    def test_summary_reaches_into_formsets(self) -> None:
        rows = forms.formset_factory(PurposeForm, extra=0, min_num=1, validate_min=True)
        data = {"rows-TOTAL_FORMS": "1", "rows-INITIAL_FORMS": "0", "rows-0-ticket": "MK-311"}
        html = render("{% error_summary form rows nothing %}", rows=rows(data, prefix="rows"), form=None, nothing=None)
        assert 'href="#id_rows-0-purpose"' in html

    def test_no_error_no_summary(self) -> None:
        assert render("{% error_summary form %}", form=PurposeForm()).strip() == ""


class TestTemplates:
    def test_every_template_compiles(self) -> None:
        names = [str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html")]
        assert len(names) > 40
        for name in names:
            get_template(name)

    def test_no_template_carries_inline_script_style_or_handlers(self) -> None:
        """The policy lets none of them through, so one that slipped in would silently not work."""
        for path in TEMPLATES.rglob("*.html"):
            text = path.read_text()
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals=.js:|data:image", text), path
            for opening in re.findall(r"<script\b[^>]*>", text):
                assert " src=" in opening or 'type="application/json"' in opening, path

    @pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "429", "500", "503"])
    def test_error_pages_need_no_context(self, name: str) -> None:
        html = render_to_string(f"{name}.html")
        assert "<h1>" in html
        assert 'class="top"' not in html

    def test_error_page_names_the_request(self) -> None:
        assert "5e0b6b1c-1a8e" in render_to_string("404.html", {"request_id": "5e0b6b1c-1a8e-4a0d-9a34-7b1f0c2d9e11"})

    def test_style_and_script_stay_small(self) -> None:
        """As they go over the wire: comments cost little there."""
        static = Path(settings.BASE_DIR) / "static/segadmin"
        assert len(gzip.compress((static / "segadmin.css").read_bytes())) < 5_600
        assert len(gzip.compress((static / "segadmin.js").read_bytes())) < 4_600

    def test_empty_states_say_which_kind_they_are(self) -> None:
        html = render_to_string(
            "components/empty.html", {"kind": "could-not-load", "lead": "Never read.", "text": "403"}
        )
        assert 'data-empty="could-not-load"' in html
        assert "note warn" in html

    def test_as_of_line_tells_read_failed_and_never_read_apart(self) -> None:
        places = [
            {"key": "a", "name": "Acme / prod", "read_at": NOW, "problem": ""},
            {
                "key": "b",
                "name": "Nordwind / prod",
                "read_at": NOW - timedelta(minutes=12),
                "problem": "Adobe answered 503",
            },
            {"key": "c", "name": "New / dev", "read_at": None, "problem": ""},
            {"key": "d", "name": "Old / dev", "read_at": None, "problem": "Adobe answered 403"},
        ]
        html = render_to_string("components/asof.html", {"places": places})
        assert 'id="asof-a"' in html
        assert "Nordwind / prod not read since" in html
        assert "New / dev: not read yet" in html
        assert "Old / dev has never been read:" in html

    def test_pages_link_by_rel(self) -> None:
        html = render_to_string("components/pagination.html", {"shown": "50 of 214", "next_url": "?after=x"})
        assert 'rel="next" href="?after=x"' in html
        assert 'rel="prev"' not in html
