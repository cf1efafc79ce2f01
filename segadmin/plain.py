r"""Text from outside made plain to read: it hides nothing, starts no line of its own, and turns nobody else's direction.

Nothing is taken away: what can't be seen is written as an escape that can, such as `\u202e` or `\n`. Files, pages, logs
and the terminal use the same notation. Loaded by the log's formatter, so it imports nothing.
"""

import re

# Control characters; marks, overrides and isolates of the reading direction; line and paragraph separators; what has no
# width or no ink and could tell two names apart that look alike. Joiners (U+200C, U+200D) and variation selectors stay:
# some scripts and emoji need them.
_NO_LINE_ENDS = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
)
HIDDEN = re.compile(f"[\t\n\r{_NO_LINE_ENDS}]")
# The same but for what JSON escapes anyway.
HIDDEN_IN_JSON = re.compile(f"(?=[^\x00-\x1f])[{_NO_LINE_ENDS}]")
_HIDDEN_IN_LINES = re.compile(f"[\r{_NO_LINE_ENDS}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Letters of scripts that are read from right to left, and a phrase of them: one that stood bare in a line would pull
# the numbers and signs after it to its other side.
_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff"
_PHRASE = re.compile(f"[{_RIGHT}]+(?:[ .-]{{1,2}}[{_RIGHT}]+)*")
_ODD = re.compile(f"[{_NO_LINE_ENDS}{_RIGHT}]")
_HIDDEN_IN_PAGE = re.compile(f"[{_NO_LINE_ENDS}]")
_TAG = re.compile(r"(<[^>]*>)")  # whatever comes out of a variable has its < and > escaped
_NAME = re.compile(r"</?([a-zA-Z]+)")
# Attributes that people read or hear; all others are for the browser and stay as they are.
_READ = re.compile(r'(\s(?:title|aria-label|alt|placeholder|label)=")([^"]*)(")')
_WITHOUT_ELEMENTS = frozenset({"textarea", "title", "option", "svg"})


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or (
        f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
    )


def _escape_in_json(match: re.Match[str]) -> str:
    """JSON knows no \\U: what lies beyond U+FFFF takes two escapes."""
    return "".join(
        f"\\u{high:02x}{low:02x}" for high, low in zip(*[iter(match[0].encode("utf-16-be"))] * 2, strict=True)
    )


def visible(text: str) -> str:
    """One line that says the same."""
    return HIDDEN.sub(_escape, text)


def visible_lines(text: str) -> str:
    """The same of a text that may have lines and tabs."""
    return _HIDDEN_IN_LINES.sub(_escape, text)


def visible_json(text: str) -> str:
    """A JSON text that says the same, without characters that turn the reading direction or hide."""
    # DEL is the one character of ASCII that hides and that JSON leaves as it is.
    return text if text.isascii() and "\x7f" not in text else HIDDEN_IN_JSON.sub(_escape_in_json, text)


def visible_page(html: str) -> str:
    """A page of HTML in which hidden characters can be seen, and phrases read from right to left keep to themselves.

    What a form sends back (values of fields, texts of text areas) stays exactly as it is.
    """
    if not _ODD.search(html):
        return html
    parts, inside = [], ""
    for part in _TAG.split(html):
        if not part.startswith("<"):
            parts.append(part if inside == "textarea" else _words(part, with_elements=not inside))
            continue
        parts.append(_READ.sub(lambda found: found[1] + _words(found[2], with_elements=False) + found[3], part))
        name = found[1].lower() if (found := _NAME.match(part)) else ""
        if inside:
            inside = "" if part.startswith("</") and name == inside else inside
        elif name in _WITHOUT_ELEMENTS and not part.startswith("</"):
            inside = name
    return "".join(parts)


def _words(text: str, *, with_elements: bool) -> str:
    if not _ODD.search(text):
        return text
    # Where no element may stand, the signs for "first strong isolate" and its end do the same.
    around = ("<bdi>", "</bdi>") if with_elements else ("\u2068", "\u2069")
    return _PHRASE.sub(lambda found: found[0].join(around), _HIDDEN_IN_PAGE.sub(_escape, text))
