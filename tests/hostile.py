"""Texts that try to be something else than text, and a reader that notices on a page, in a file or in a log."""

import csv
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from segadmin.plain import HIDDEN

MARKUP = (
    'HYPERLINK("http://x.example","a")<x-h onx=1>" onx="1\' onx=\'1</script>&lt;b&gt;{{7*7}}{%if%}%s%(a)s{0}\\u202e'
)
TURNED = (
    "gpj.exe \u2066\u200f\u200e\u061c\u200b\u2060\ufeff\xad\x1b[2J\x1b]0;t\x07\x08\x85\u2028 "
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd 41,200 \u0639\u0631\u0628\u064a \U000e0041 "
    "\U0001f469\u200d\U0001f467 \U0001f4a9"
)
BREAKS = "a\r\n2026-01-01 00:00:00,000 INFO forged [x] line\n\n-1\t@\x0b\x0c"
# Name -> (how the text begins, what follows). Each beginning is one that a spreadsheet takes for a formula.
TEXTS: dict[str, tuple[str, str]] = {
    "markup": ("=", MARKUP),
    "unseen": ("\t\u202e@", BREAKS + TURNED),
    "long": ("-", "x" * 10_000),
}
# What JSON can say and a database can't keep.
UNSTORABLE = "\x00\ud800"

_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")
_ISOLATED = re.compile("\u2068[^\u2068\u2069]*\u2069")
_READ = frozenset({"title", "aria-label", "alt", "placeholder", "label"})
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "use", "path", "rect", "line", "circle", "wbr"})
_FORMULA = re.compile(r"""[\s"'\u2018\u2019\u201c\u201d`]*[=+\-@\uff1d\uff0b\uff0d\uff20]""")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass
class Texts:
    """One kind of hostile text, a different one for each field, with marks at its beginning and at its end."""

    kind: str
    unstorable: bool = False
    fields: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, limit: int = 10_000) -> str:
        """The text for this field, as long as it may be."""
        begins, rest = TEXTS[self.kind]
        start, end = self.marks(name)
        rest = rest + (UNSTORABLE if self.unstorable else "")
        text = begins + start + rest[: max(0, limit - len(begins) - len(start) - len(end))] + end
        assert len(text) <= limit, name
        self.fields[name] = text
        return text

    def marks(self, name: str) -> tuple[str, str]:
        number = list(self.fields).index(name) if name in self.fields else len(self.fields)
        return f"Qa{number:02}q", f"Qz{number:02}q"

    def missing_in(self, text: str) -> list[str]:
        """The fields of which this text lacks the beginning or the end."""
        return [name for name in self.fields if not all(mark in text for mark in self.marks(name))]


class Page(HTMLParser):
    """Reads a page as a browser does and keeps what is wrong with it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
        names = dict(attrs)
        if tag == "x-h" or (tag == "script" and not names.get("src")):
            self.wrong.append(f"element <{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.wrong.append(f"attribute {name} of <{tag}>")
            if name in ("href", "src", "action") and re.match(r"\s*(javascript|data|vbscript):", value or "", re.I):
                self.wrong.append(f"address {value!r}")
            if name in _READ:
                self._look(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "textarea" not in self._open:  # what a form sends back stays as it is
            self._look(data, isolated="bdi" in self._open)

    def _look(self, text: str, *, isolated: bool = False) -> None:
        bare = _ISOLATED.sub("", text)
        # The signs for "first strong isolate" and its end are the page's own where they enclose a phrase.
        for character in sorted(set(HIDDEN.findall(bare)) - set("\n\r\t")):
            self.wrong.append(f"hidden {character!r} in {text[:80]!r}")
        if not isolated and _RIGHT.search(bare):
            self.wrong.append(f"not kept to itself: {text[:80]!r}")


def wrong_in_csv(data: bytes) -> list[str]:
    """Cells that a spreadsheet would calculate, that hide something, or that take more than one line."""
    text = data.decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    wrong = [f"{len(rows)} rows in {text.count(chr(10))} lines"] if text.count("\n") != len(rows) else []
    for row in rows:
        for cell in row:
            if HIDDEN.search(cell):
                wrong.append(f"hidden in {cell[:80]!r}")
            if _FORMULA.match(cell) and not cell.startswith("'") and not _NUMBER.fullmatch(cell):
                wrong.append(f"formula {cell[:80]!r}")
    return wrong


def wrong_in_lines(data: bytes) -> list[str]:
    """Lines of a text file, or of JSON Lines, that hide something."""
    return [f"hidden in {line[:80]!r}" for line in data.decode().split("\n") if HIDDEN.search(line.removesuffix("\r"))]
