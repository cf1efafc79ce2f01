"""Tags of the record: values of an event's details. Fifty open rows hold some 700 of them, too many for templates."""

from collections.abc import Sequence
from typing import Protocol

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from segadmin.templatetags.segadmin import id_text

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
