"""List, retrieve, create, cancel: each operation with the forms that its answers take."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from responses import RequestsMock

from segadmin.aep import (
    Conflict,
    ExportJobsReader,
    ExportJobsWriter,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from tests.aep.support import JOB, JOBS, mocked_transport


@pytest.fixture
def adobe() -> Any:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def writer() -> ExportJobsWriter:
    return ExportJobsWriter(mocked_transport())


@pytest.fixture
def reader() -> ExportJobsReader:
    return ExportJobsReader(mocked_transport())


def queries(adobe: RequestsMock) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(str(call.request.url)).query)) for call in adobe.calls]


def envelope(*ids: object, following: object = "") -> dict[str, Any]:
    return {
        "records": [{**JOB, "id": job_id} for job_id in ids],
        "page": {"sortField": "createdTime", "sort": "desc", "pageOffset": "1_1", "pageSize": len(ids)},
        "link": {"next": following},
    }


def link(offset: str) -> str:
    return f"/export/jobs/?limit=2&offset={offset}"


# List ----------------------------------------------------------------------------------------------------------------


def test_one_page(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, json=envelope(100, "b", following=link("1538573416687_722")), headers={"x-request-id": "adobe-1"})
    page = reader.list(limit=2, offset="1540974701302_96", status="NEW")
    assert [job.id for job in page.jobs] == ["100", "b"]
    assert page.bad == []
    assert page.next_offset == "1538573416687_722"
    assert page.adobe_request_id == "adobe-1"
    assert queries(adobe) == [{"limit": "2", "offset": "1540974701302_96", "status": "NEW"}]


def test_no_offset_and_no_status_are_not_sent(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, json=envelope())
    reader.list()
    assert queries(adobe) == [{"limit": "100"}]


def test_paging_sends_its_own_limit_and_status(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, json=envelope(3, 2, following="https://evil.example/export/jobs?limit=9&offset=5_2&status=FAILED"))
    adobe.get(JOBS, json=envelope(1))
    pages = list(reader.pages(limit=2, status="SUCCEEDED"))
    assert [[job.id for job in page.jobs] for page in pages] == [["3", "2"], ["1"]]
    assert queries(adobe) == [
        {"limit": "2", "status": "SUCCEEDED"},
        {"limit": "2", "offset": "5_2", "status": "SUCCEEDED"},
    ]
    assert all(str(call.request.url).startswith(JOBS + "?") for call in adobe.calls)


@pytest.mark.parametrize(
    "following",
    [
        "",
        "   ",
        None,
        "string",
        "/export/jobs/",
        "?",
        "/export/jobs/?limit=2",
        "?offset=",
        "?offset=%20",
        7,
        [],
        {},
        {"href": ""},
        "?offset=a%0D%0Ab",
        "?offset=" + "9" * 600,
        "http://[?offset=1",
    ],
)
def test_paging_ends_where_there_is_no_cursor(adobe: RequestsMock, reader: ExportJobsReader, following: Any) -> None:
    adobe.get(JOBS, json=envelope(1, following=following))
    assert len(list(reader.pages())) == 1


@pytest.mark.parametrize(
    ("following", "is_last"),
    [
        ("", True),
        (None, True),
        ("string", True),
        ("/export/jobs/?limit=2", True),
        ("?offset=", True),
        ("?offset=5_1", False),
        ("?start=100&limit=100", False),
        ({"href": "?page=2"}, False),
        ("?offset=" + "9" * 600, False),
        ("?offset=a%0D%0Ab", False),
        ("http://[?offset=1", False),
    ],
)
def test_a_page_is_the_last_one_only_where_adobe_names_no_further_one(
    adobe: RequestsMock, reader: ExportJobsReader, following: Any, is_last: bool
) -> None:
    adobe.get(JOBS, json=envelope(1, following=following))
    page = reader.list()
    assert (page.next_offset is None and not page.has_unreadable_next) == is_last


@pytest.mark.parametrize("change", [{"link": None}, {"link": "x"}, {"link": {}}, {"page": None, "link": []}])
def test_paging_ends_without_a_link(adobe: RequestsMock, reader: ExportJobsReader, change: dict[str, Any]) -> None:
    adobe.get(JOBS, json={**envelope(1), **change})
    assert len(list(reader.pages())) == 1


def test_paging_ends_when_the_cursor_repeats(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    for offset in ("5_1", "6_2", "5_1"):
        adobe.get(JOBS, json=envelope(1, following=link(offset)))
    assert len(list(reader.pages())) == 3


def test_paging_ends_at_an_empty_page(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, json=envelope(following=link("5_1")))
    assert len(list(reader.pages())) == 1


def test_5000_jobs_are_all_read(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        asked = dict(parse_qsl(urlsplit(request.url).query))
        first = int(asked.get("offset", "x_5000").split("_")[1])
        last = max(first - int(asked["limit"]), 0)
        following = link(f"x_{last}") if last else ""
        return 200, {}, json.dumps(envelope(*range(first, last, -1), following=following))

    adobe.add_callback(responses.GET, JOBS, answer, content_type="application/json")
    ids = [job.id for page in reader.pages(limit=100) for job in page.jobs]
    assert ids == [str(number) for number in range(5000, 0, -1)]


def test_bad_records_are_kept_and_hide_no_others(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    records: list[Any] = [
        None,
        7,
        "x",
        [],
        {},
        {"id": None},
        {"id": True},
        {"id": ".."},
        {"id": "a\nb"},
        {**JOB, "status": 5},
    ]
    adobe.get(JOBS, json={**envelope(), "records": records, "link": {"next": ""}})
    page = reader.list()
    assert [job.id for job in page.jobs] == ["100"]
    assert [item.raw for item in page.bad] == records[:-1]
    assert all(item.reason.endswith(".") for item in page.bad)


def test_a_null_list_is_an_empty_one(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, json={"records": None})
    assert reader.list().jobs == []


@pytest.mark.parametrize("content", [{}, [], None, "x", {"records": {}}, {"records": "x"}, {"jobs": []}])
def test_an_answer_without_a_list_is_an_error(adobe: RequestsMock, reader: ExportJobsReader, content: Any) -> None:
    adobe.get(JOBS, json=content)
    with pytest.raises(Unavailable):
        reader.list()


def test_an_empty_answer_is_an_error(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(JOBS, body=b"")
    with pytest.raises(Unavailable):
        reader.list()


# Retrieve ------------------------------------------------------------------------------------------------------------


def test_retrieve(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(f"{JOBS}/100", json=JOB)
    assert reader.retrieve("100").status == "NEW"


def test_retrieve_of_an_unknown_job(adobe: RequestsMock, reader: ExportJobsReader) -> None:
    adobe.get(f"{JOBS}/100", status=404)
    with pytest.raises(NotFound) as caught:
        reader.retrieve("100")
    assert caught.value.status == 404
    assert caught.value.adobe_message == ""


@pytest.mark.parametrize("content", [{}, None, [], {"status": "NEW"}, {**JOB, "id": 101}])
def test_retrieve_that_gives_no_such_job_is_an_error(
    adobe: RequestsMock, reader: ExportJobsReader, content: Any
) -> None:
    adobe.get(f"{JOBS}/100", json=content)
    with pytest.raises(Unavailable):
        reader.retrieve("100")


# Create --------------------------------------------------------------------------------------------------------------

BODY = {"fields": "a,b", "destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_create(adobe: RequestsMock, writer: ExportJobsWriter, status: int) -> None:
    adobe.post(JOBS, status=status, json=JOB, headers={"X-Location": f"{JOBS}/100", "x-request-id": "adobe-9"})
    reply = writer.create(BODY)
    assert reply.job is not None
    assert (reply.job_id, reply.job.id, reply.status, reply.adobe_request_id) == ("100", "100", status, "adobe-9")
    assert reply.sent_request_ids == [reply.request_id]
    assert json.loads(adobe.calls[0].request.body or "") == BODY


@pytest.mark.parametrize(
    "location", [f"{JOBS}/77", "/data/core/ups/export/jobs/77/", "/export/jobs/77?x=1", "77", "/77"]
)
@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"<html>", b"[1]"])
def test_create_whose_job_is_only_named_in_the_header(
    adobe: RequestsMock, writer: ExportJobsWriter, location: str, body: bytes
) -> None:
    adobe.post(JOBS, body=body, headers={"X-Location": location}, content_type="application/json")
    assert writer.create(BODY).job_id == "77"


def test_create_whose_job_lacks_only_the_id(adobe: RequestsMock, writer: ExportJobsWriter) -> None:
    adobe.post(JOBS, json={"status": "NEW"}, headers={"X-Location": f"{JOBS}/a%2Fb"})
    reply = writer.create(BODY)
    assert reply.job is not None
    assert (reply.job.id, reply.job.status) == ("a/b", "NEW")


@pytest.mark.parametrize(
    "answered",
    [
        {"body": b""},
        {"body": b"{"},
        {"body": b"<html></html>", "content_type": "text/html"},
        {"json": {}},
        {"json": []},
        {"json": {"id": None}},
        {"json": {"errorMessage": "hm"}},
        {"json": {}, "headers": {"X-Location": "/data/core/ups/export/jobs/"}},
        {"json": {}, "headers": {"X-Location": "/.."}},
        {"json": {}, "headers": {"Location": "https://elsewhere.example/login"}},
        {"status": 500, "json": {"message": "boom"}},
        {"status": 503},
    ],
)
def test_create_without_a_clear_answer_is_unknown(
    adobe: RequestsMock, writer: ExportJobsWriter, answered: dict[str, Any]
) -> None:
    adobe.post(JOBS, **answered)
    with pytest.raises(OutcomeUnknown) as caught:
        writer.create(BODY)
    assert len(adobe.calls) == len(caught.value.sent_request_ids) == 1


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"status": 400, "title": "BadRequestError", "detail": "destination.datasetId is unknown"}, Rejected),
        (422, {"message": "datasetId does not exist"}, Rejected),
        (403, {}, Forbidden),
        (200, {"error_code": "403027", "message": "User region is missing"}, Forbidden),
    ],
)
def test_create_refused(
    adobe: RequestsMock, writer: ExportJobsWriter, status: int, content: dict[str, Any], kind: type[Exception]
) -> None:
    adobe.post(JOBS, status=status, json=content)
    with pytest.raises(kind) as caught:
        writer.create(BODY)
    assert len(adobe.calls) == 1
    if kind is Rejected:
        assert list(caught.value.field_errors) == ["destination.datasetId"]  # type: ignore[attr-defined]


def test_a_job_with_errors_is_a_job(adobe: RequestsMock, writer: ExportJobsWriter) -> None:
    adobe.post(JOBS, json={**JOB, "status": "SUCCEEDED", "errors": [{"code": "unknown", "msg": "x"}]})
    assert writer.create(BODY).job_id == "100"


# Cancel --------------------------------------------------------------------------------------------------------------

URL = f"{JOBS}/100"
MARKED = "Export job has been marked for cancelling"


@pytest.mark.parametrize(
    ("answered", "acknowledged", "message"),
    [
        ({"json": {"status": True, "message": MARKED}}, True, MARKED),
        ({"json": {"status": "true", "message": MARKED}}, True, MARKED),
        ({"json": {"status": False, "message": "Already done"}}, False, "Already done"),
        ({"status": 204}, True, ""),
        ({"body": b""}, True, ""),
        ({"status": 202, "json": {}}, None, ""),
        ({"json": {"message": "ok"}}, None, "ok"),
        ({"json": {**JOB, "status": "CANCELLING"}}, True, ""),
        ({"json": {**JOB, "status": "SUCCEEDED"}}, None, ""),
        ({"json": {"status": None, "message": 5}}, None, ""),
        ({"json": [True]}, None, ""),
    ],
)
def test_cancel(
    adobe: RequestsMock, writer: ExportJobsWriter, answered: dict[str, Any], acknowledged: bool | None, message: str
) -> None:
    adobe.delete(URL, **answered)
    reply = writer.cancel("100")
    assert (reply.acknowledged, reply.message) == (acknowledged, message)
    assert len(reply.sent_request_ids) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (409, Conflict), (403, Forbidden), (503, OutcomeUnknown)]
)
def test_cancel_refused(adobe: RequestsMock, writer: ExportJobsWriter, status: int, kind: type[Exception]) -> None:
    adobe.delete(URL, status=status)
    with pytest.raises(kind):
        writer.cancel("100")
    assert len(adobe.calls) == 1


def test_cancel_with_a_web_page_for_an_answer_is_unknown(adobe: RequestsMock, writer: ExportJobsWriter) -> None:
    adobe.delete(URL, body="<html>", content_type="text/html")
    with pytest.raises(OutcomeUnknown):
        writer.cancel("100")
