"""Tags of the record: lines of the list and values of details. A page has too many of both for templates to draw them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from segadmin.templatetags.segadmin import at_full, icon, id_text, iso, outcome_mark, sandbox_mark, thousands

register = template.Library()


class _Value(Protocol):
    """What segadmin.queries.event_values makes of a detail."""

    @property
    def text(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def machine(self) -> str: ...
    @property
    def sign(self) -> str: ...


class _Content(Protocol):
    """What a line needs of segadmin.models.EventContent."""

    at: datetime
    actor_name: str
    sentence: str
    organization_name: str
    sandbox_name: str


class _Line(Protocol):
    """What segadmin.queries.event_rows makes of an event."""

    @property
    def content(self) -> _Content: ...
    @property
    def seq(self) -> int: ...
    @property
    def sandbox_type(self) -> str: ...
    @property
    def outcome_word(self) -> str: ...
    @property
    def outcome_kind(self) -> str: ...


@register.simple_tag
def event_line(row: _Line, with_day: bool = False) -> SafeString:
    """Write the one line that an event has in the list: time, who, what, where, outcome, number."""
    content, local = row.content, timezone.localtime(row.content.at)
    day = format_html(" <small>{}</small>", date_format(local, "j M")) if with_day else ""
    place = sandbox_mark(content.sandbox_name, row.sandbox_type) if content.sandbox_name else ""
    return format_html(
        '<summary>{}<time datetime="{}" title="{}">{}{}</time><span>{}</span><span>{}</span><span>{} {}</span>'
        '<span>{}</span><span class="num soft">{}</span></summary>',
        icon("next"),
        iso(content.at),
        at_full(content.at),
        f"{local:%H:%M:%S}",
        day,
        content.actor_name,
        content.sentence,
        content.organization_name or "segadmin",
        place,
        outcome_mark(row.outcome_word, row.outcome_kind),
        thousands(row.seq),
    )


@register.simple_tag
def told_values(values: Sequence[_Value], lines: bool = False) -> SafeString:
    """Write values with commas between them; each in a line of its own with `lines`, or after a difference or an id."""
    last = len(values) - 1
    return format_html_join(
        "",
        "{}{}",
        (
            (_told(value), "" if number == last else mark_safe("<br>") if lines or value.sign or value.key else ", ")
            for number, value in enumerate(values)
        ),
    )


def _told(value: _Value) -> SafeString:
    told = _text(value)
    if value.key:
        told = format_html("{} {}", told, id_text(value.key))
    return format_html('{} <span class="soft">{}</span>', told, value.note) if value.note else told


def _text(value: _Value) -> SafeString:
    if value.sign == "removed":
        return format_html("<del>{}</del>", value.text)
    if value.sign == "added":
        return format_html("<ins>{}</ins>", value.text)
    if value.url:
        return format_html('<a href="{}">{}</a>', value.url, value.text)
    if value.kind == "id":
        return id_text(value.text)
    if value.kind == "time":
        return format_html('<time datetime="{}">{}</time>', value.machine, value.text)
    return format_html("<span>{}</span>", value.text)
