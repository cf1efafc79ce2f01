"""Recomputing a record: every digest, every link, and the head."""

from collections.abc import Iterable

from segadmin.audit.chain import START, chain_value, digest_of
from segadmin.models import ChainHead, Event

LINKS = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq ORDER BY e.seq"
)
HEAD = "SELECT seq, chain FROM segadmin_chainhead"
type Link = tuple[int, int, str, str, str]


def assert_links_hold(links: Iterable[Link], head: tuple[int, str]) -> int:
    """Check a record given as rows; returns how many events it has."""
    previous, last = START, 0
    for seq, epoch, digest, chain, text in links:
        assert seq == last + 1, f"a gap before {seq}"
        assert digest == digest_of(text), f"the text of {seq} was altered"
        assert chain == chain_value(epoch, seq, previous, digest), f"{seq} is not linked"
        previous, last = chain, seq
    assert head == (last, previous if last else head[1])
    return last


def assert_chain_holds() -> int:
    """Check the record of the connected database."""
    events = Event.objects.select_related("content").order_by("seq")
    links = [(event.seq, event.epoch, event.digest, event.chain, event.content.text) for event in events]
    head = ChainHead.objects.get(pk=1)
    return assert_links_hold(links, (head.seq, head.chain))
