"""What a first visit takes over the wire: the page and every file that it names, compressed as the server sends it."""

import re
from collections.abc import Iterator
from html import unescape

from segadmin.processes import answers
from tests.benchmarks.installation import LIVE, Installation, Server
from tests.benchmarks.measure import Row, at_most, number_row
from tests.benchmarks.wire import Answer, Wire

LIMIT_KB, MOST_FILES = 40.0, 4


def run(site: Installation) -> Iterator[Row]:
    from segadmin.models import Job

    job = Job.objects.filter(sandbox__organization__slug=LIVE).select_related("sandbox").order_by("-sort_at").first()
    assert job is not None, "the emulated Adobe has no jobs"
    pages = {
        "jobs list": "/jobs/",
        "record": "/audit/",
        "register": "/register/",
        "job": f"/orgs/{LIVE}/{job.sandbox.name}/jobs/{job.job_id}/",
    }
    with site.web() as server:
        assert answers(server.port, "/healthz")
        for name, path in pages.items():
            yield from _page(site, server, name, path)


def _page(site: Installation, server: Server, name: str, path: str) -> Iterator[Row]:
    with site.wire(server, "reader") as wire:
        page = wire.page(path)
        files = {address: _file(wire, address) for address in named(page.text)}
    total = page.wire + sum(answer.wire for answer in files.values())
    words = f"{total / 1000:.1f} kB, of it the page {page.wire / 1000:.1f} kB (unpacked {len(page.text) / 1000:.0f} kB)"
    what = f"{name}, first visit, everything counted"
    yield number_row("weight", what, site.database, total / 1000, words, target=at_most(LIMIT_KB, " kB"), runs=1)
    what = f"{name}, static files"
    number = len(files)
    yield number_row("weight", what, site.database, number, str(number), target=at_most(MOST_FILES), runs=1)


def named(page: str) -> list[str]:
    """Addresses of the files that a browser fetches for the page, each once."""
    found = re.findall(r'<(?:script|img)\b[^>]*\bsrc="([^"]+)"', page)
    for link in re.findall(r"<link\b[^>]*>", page):
        if re.search(r'\brel="(?:stylesheet|icon|preload|modulepreload|manifest)"', link):
            found += re.findall(r'\bhref="([^"]+)"', link)
    return list(dict.fromkeys(unescape(address) for address in found if not address.startswith("data:")))


def _file(wire: Wire, address: str) -> Answer:
    answer = wire.get(address, Accept_Encoding="gzip, deflate, br, zstd")
    assert answer.status == 200, f"{address} answered {answer.status}"
    if address.partition("?")[0].endswith(".css"):
        assert not re.search(r"@import|url\((?!['\"]?(?:data:|#))", answer.text), f"{address} brings further files"
    return answer
