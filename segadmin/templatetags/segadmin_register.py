"""Tags of the register: kinds of personal data, certain and possible ones kept apart."""

from collections.abc import Iterable

from django import template
from django.http import QueryDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models.register import Category

register = template.Library()

_KNOWN = {category.value: category for category in Category}


def _label(code: str) -> str:
    return str(_KNOWN[code].label) if code in _KNOWN else code


def _is_special(code: str) -> bool:
    return code in _KNOWN and _KNOWN[code] in Category.special()


@register.simple_tag
def pii_tags(certain: Iterable[str] | None, possible: Iterable[str] | None = None, most: int = 4) -> SafeString:
    """Draw kinds of personal data (codes of Category) as tags: certain plain, possible dashed with "possibly".

    Certain special categories come first. At most `most` tags, the rest as a number (0: all of them).
    """
    tags = [*_drawn(certain or (), sure=True), *_drawn(possible or (), sure=False)]
    shown = tags[:most] if most else tags
    rest = len(tags) - len(shown)
    drawn = format_html_join(" ", '<span class="{}">{}</span>', shown)
    if rest:
        more = ngettext("and %(n)d more kind", "and %(n)d more kinds", rest) % {"n": rest}
        return format_html('{} <span class="soft">{}</span>', drawn, more)
    return drawn


def _drawn(codes: Iterable[str], *, sure: bool) -> list[tuple[str, str]]:
    """(class, words) of each tag."""
    found = []
    for code in sorted(codes, key=lambda code: not (sure and _is_special(code))):
        words = _label(code) if sure else _("possibly %s") % _label(code)
        special = " special" if _is_special(code) and sure else ""
        found.append((f"tag{special}" if sure else "tag maybe", words))
    return found


@register.filter
def with_left(url: str, left: str) -> str:
    """The address of some rows of the register, narrowed to those of which data left (a code of DataLeft)."""
    path, mark, asked = url.partition("?")
    if not mark:
        return url
    query = QueryDict(asked, mutable=True)
    query["left"] = left
    return f"{path}?{query.urlencode()}"


@register.filter
def pii_word(code: str) -> str:
    """The word for one kind of personal data."""
    return _label(code)
