"""Text from outside made plain: on pages, in logs and on the terminal."""

import io
import json
import logging
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segadmin.audit import verifier
from segadmin.audit.record import one_line
from segadmin.logs import OneLineFormatter, RequestIdFilter
from segadmin.plain import HIDDEN, visible, visible_json, visible_lines, visible_page
from tests.hostile import BREAKS, TEXTS, TURNED, Page

TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("invoice\u202excod.exe", "invoice\\u202excod.exe"),
        ("two\r\nlines\tand \x1b[2J", "two\\r\\nlines\\tand \\u001b[2J"),
        ("a\u200bb\xadc\u2028d\ufeff", "a\\u200bb\\u00adc\\u2028d\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("Zoë, 東京, שלום, \U0001f469\u200d\U0001f467", "Zoë, 東京, שלום, \U0001f469\u200d\U0001f467"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(TEXT)
def test_nothing_hidden_is_left_and_nothing_else_is_touched(text: str) -> None:
    assert not HIDDEN.search(visible(text))
    assert not HIDDEN.search(re.sub("[\n\t]", "", visible_lines(text)))
    assert visible(text) == text or HIDDEN.search(text)


def test_every_control_and_direction_character_counts_as_hidden() -> None:
    left = {"\u200c", "\u200d"}  # joiners: scripts and emoji need them
    for number in range(0x3000):
        character = chr(number)
        turns = unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        if (unicodedata.category(character) in {"Cc", "Zl", "Zp"} or turns) and character not in left:
            assert HIDDEN.fullmatch(character), hex(number)


@given(TEXT)
@example("\x7f")
def test_json_says_the_same_afterwards(text: str) -> None:
    written = visible_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(written) == {text: [text]}
    assert not HIDDEN.search(written)


def test_a_page_without_anything_odd_is_the_same_object() -> None:
    page = "<p title='x'>Zoë — “quoted” → \U0001f469\u200d\U0001f467</p>"
    assert visible_page(page) is page


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<p>a\u202eb</p>", "<p>a\\u202eb</p>"),
        ('<a title="\u202e" href="/x\u202e">y</a>', '<a title="\\u202e" href="/x\u202e">y</a>'),
        (
            '<input value="\u202e"><textarea>\u202e</textarea>\u202e',
            '<input value="\u202e"><textarea>\u202e</textarea>\\u202e',
        ),
        ("<p>שלום עולם 41,200</p>", "<p><bdi>שלום עולם</bdi> 41,200</p>"),
        ("<p>אב → גד</p>", "<p><bdi>אב</bdi> → <bdi>גד</bdi></p>"),
        ('<b aria-label="אב 1">x</b>', '<b aria-label="\u2068אב\u2069 1">x</b>'),
        ("<title>אב</title><p>אב</p>", "<title>\u2068אב\u2069</title><p><bdi>אב</bdi></p>"),
        ("<svg><text>אב</text></svg>אב", "<svg><text>\u2068אב\u2069</text></svg><bdi>אב</bdi>"),
        ("<option>אב</option>", "<option>\u2068אב\u2069</option>"),
        ("a\n\tb\x0c", "a\n\tb\\u000c"),
    ],
)
def test_pages_show_it_and_forms_keep_it(page: str, shown: str) -> None:
    assert visible_page(page) == shown


@given(TEXT)
def test_no_text_makes_a_page_lie(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert Page(visible_page(f'<p title="{escaped}">{escaped}</p><title>{escaped}</title>')).wrong == []


# -- logs -------------------------------------------------------------------------------------------------------------


def logged(message: str, *values: object, fault: BaseException | None = None) -> str:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(OneLineFormatter("{asctime} {levelname} {name} [{request_id}] {message}", style="{"))
    handler.addFilter(RequestIdFilter())
    logger = logging.Logger("segadmin.test")  # noqa: LOG001  of its own: nothing else hears it
    logger.addHandler(handler)
    logger.error(message, *values, exc_info=fault)
    return written.getvalue()


@pytest.mark.parametrize("kind", TEXTS)
def test_one_event_is_one_line(kind: str) -> None:
    text = "".join(TEXTS[kind])
    line = logged("job %s failed", text)
    assert line.count("\n") == 1
    assert line.endswith(f"ERROR segadmin.test [-] job {visible(text)} failed\n")


def test_a_traceback_is_indented_and_says_no_word_to_the_terminal() -> None:
    try:
        raise RuntimeError(BREAKS + TURNED)
    except RuntimeError as error:
        first, *rest = logged("it broke", fault=error).splitlines()
    assert first.endswith("it broke")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert not any(HIDDEN.search(line) for line in rest)


# -- record and terminal ----------------------------------------------------------------------------------------------


def test_a_sentence_that_is_cut_says_so() -> None:
    assert one_line("x" * 2000) == "x" * 2000
    assert one_line("x" * 2001) == "x" * 1999 + "…"


@given(st.text(st.characters(), max_size=40))
def test_the_verifier_prints_one_plain_line(text: str) -> None:
    shown = verifier.plain(text)
    assert shown.isprintable()
    shown.encode()  # no half of a pair that no terminal can take
    assert shown == text or not text.isprintable()


HOSTILE_PACKS = {
    "text": {
        "events.jsonl": '{"seq":1,"epoch":1,"sentence":"\u202e\\u001b[2J"}\n{"seq":"\\u001b]0;x\\u0007"}\n\x1b[2J\u202e\n'
    },
    "types": {
        "events.jsonl": '{"seq":1,"epoch":[],"at":{},"details":7,"action":"record.epoch"}\n[1]\n7\nnull\n{"seq":true}\n'
    },
    "deep": {"events.jsonl": "[" * 200_000 + "\n"},
    "numbers": {"events.jsonl": '{"seq":1e400,"epoch":-1}\n{"seq":9223372036854775808,"epoch":"x"}\n'},
    "digests": {"digests.csv": "epoch,seq,digest,chain\n1,1\n1,x,\x1b[2J,\u202e\n²,1,a,b\n"},
    "manifest": {"manifest.json": '{"files":{"\\u001b[2J\\u202e":{"sha256":[]},"../../x":7},"range":[],"by":3}'},
    "bytes": {"events.jsonl": "\udcff\udc80\x00\n", "digests.csv": "\x00\n"},
    "checkpoints": {
        "checkpoints.txt": f"segadmin-checkpoint-1 1 1 1 1 {'0' * 64} 2026-99-99T99:99:99Z {'0' * 64} {'0' * 16} {'0' * 128}"
    },
}


@pytest.mark.parametrize("name", HOSTILE_PACKS)
def test_no_pack_breaks_the_verifier_or_speaks_to_the_terminal(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, content in HOSTILE_PACKS[name].items():
        (tmp_path / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    code = verifier.main([str(tmp_path)])
    said = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Unbroken" not in said.out
    assert not HIDDEN.search(re.sub("\n", "", said.out + said.err))
