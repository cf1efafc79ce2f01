"""An evidence pack's requests, answers and jobs are bound to the records: altered before or after, it shows."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from segadmin import sync
from segadmin.actions import evidence, files
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import ExportRequest, FileReceipt, Job, RequestState, Sandbox, State
from segadmin.queries import audit
from tests.actions.test_send import author, draft, save, send  # noqa: F401 - fixtures
from tests.upstream import Clock, body_for
from tests.views.test_evidence import FILES

pytestmark = pytest.mark.django_db
type Edit = Callable[[bytes], bytes]


@pytest.fixture
def story(
    emulator: Emulator,
    live_prod: Sandbox,
    draft: ExportRequest,  # noqa: F811
    actor: Actor,
    adobe_clock: Clock,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """One export that finished, one that Adobe refused, one from outside that finished."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    sync.once()
    send(actor, draft)
    refused = save(emulator, live_prod, draft.author, actor)
    emulator.faults.set(endpoint="jobs.create", status=422, times=1)
    assert send(actor, refused).state == RequestState.REFUSED
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    adobe_clock.advance(24 * 3600)
    Sandbox.objects.update(last_read_at=None, last_sweep_at=None)
    sync.once()
    assert {job.state for job in Job.objects.all()} <= set(State.final())


@pytest.fixture
def pack(story: None, live_prod: Sandbox) -> Callable[[], bytes]:
    def make() -> bytes:
        organization = live_prod.organization
        order = files.Order(what="audit", kind=FileReceipt.Kind.EVIDENCE, organizations=[organization], whole=True)
        scope = audit.Scope([organization], whole=True)
        made = evidence.make(actor=Actor.command("auditor"), order=order, scope=scope, filters=audit.Filters())
        return b"".join(made.blocks())

    return make


def result(data: bytes, folder: Path, *words: str) -> dict[str, Any]:
    """The pack's own verifier, by a bare Python, outside of the checkout."""
    folder.mkdir()
    path = folder / "pack.zip"
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        (folder / "verifier.py").write_bytes(archive.read("verifier.py"))
    run = subprocess.run(
        [sys.executable, "-I", "verifier.py", "pack.zip", "--json", *words],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def rewritten(data: bytes, edits: dict[str, Edit | None], *, listed: bool = False) -> bytes:
    """The zip with these files altered (None: left out); `listed`: with the manifest's hashes made anew."""
    source = zipfile.ZipFile(io.BytesIO(data))
    contents = {name: source.read(name) for name in source.namelist()}
    for name, edit in edits.items():
        if edit is None:
            del contents[name]
        else:
            contents[name] = edit(contents[name])
    if listed:
        manifest = json.loads(contents["manifest.json"])
        for name in manifest["files"]:
            manifest["files"][name]["sha256"] = hashlib.sha256(contents[name]).hexdigest()
        contents["manifest.json"] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def swap(old: bytes, new: bytes) -> Edit:
    def edit(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return edit


def test_what_was_sent_and_what_came_back_are_as_the_records_say(pack: Callable[[], bytes], tmp_path: Path) -> None:
    told = result(pack(), tmp_path / "v")
    assert told["ok"], told["damage"]
    assert "Requests and jobs that are as the records say: 4." in told["remarks"]
    assert not any("manifest alone" in remark or "not signed" in remark for remark in told["remarks"])


FORGERIES: dict[str, tuple[str, Edit]] = {
    "body": ("requests.jsonl", swap(b"personalEmail", b"homeAddress")),
    "purpose": ("requests.jsonl", swap(b"Win-back letter", b"A statistic")),
    "recipient": ("requests.jsonl", swap(b"CRM team", b"Nobody")),
    "person": ("requests.jsonl", swap(b'"person": "operator"', b'"person": "somebody"')),
    "answer": ("requests.jsonl", swap(b'"status": 422', b'"status": 201')),
}


@pytest.mark.not_on_postgres("the pack is altered after it was made")
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_request_is_named_even_where_manifest_and_signature_were_made_to_fit(
    pack: Callable[[], bytes], tmp_path: Path, name: str
) -> None:
    file, edit = FORGERIES[name]
    data = rewritten(pack(), {file: edit, "signature.txt": None}, listed=True)
    told = result(data, tmp_path / "v")
    assert [damage["kind"] for damage in told["damage"]] == ["snapshot differs"]
    assert told["damage"][0]["seq"] > 0
    assert any("not signed" in remark for remark in told["remarks"])


@pytest.mark.not_on_postgres("the pack is altered after it was made")
def test_a_forged_job_no_longer_fits_the_newest_digest(pack: Callable[[], bytes], tmp_path: Path) -> None:
    """Adobe may tell more of a job at any time, so that alone is a remark; the signed manifest gives the verdict."""
    edit = swap(b'"SUCCEEDED"', b'"CANCELLED"')
    told = result(rewritten(pack(), {"jobs.jsonl": edit, "signature.txt": None}, listed=True), tmp_path / "v")
    assert any(remark.startswith("Jobs that are not as the newest record") for remark in told["remarks"])
    assert any(remark.endswith("say: 3.") for remark in told["remarks"])
    signed = result(rewritten(pack(), {"jobs.jsonl": edit}, listed=True), tmp_path / "signed")
    assert [damage["says"] for damage in signed["damage"]] == ["manifest.json is not the one that signature.txt signs."]


def test_a_row_altered_in_the_database_shows_in_the_next_pack(pack: Callable[[], bytes], tmp_path: Path) -> None:
    ExportRequest.objects.filter(state=RequestState.SENT).update(purpose="A statistic")
    job = Job.objects.exclude(export_request=None).get()
    Job.objects.filter(pk=job.pk).update(raw={**job.raw, "fields": "nothing"})
    told = result(pack(), tmp_path / "v")
    assert [damage["kind"] for damage in told["damage"]] == ["snapshot differs"]
    assert any(remark.startswith("Jobs that are not as the newest record") for remark in told["remarks"])


def _one_byte(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.not_on_postgres("the pack is altered after it was made")
def test_each_file_of_a_pack_altered_or_taken_out(pack: Callable[[], bytes], tmp_path: Path) -> None:
    """One byte of each, in turn. The auditor runs a verifier of their own, with keys that they kept."""
    data = pack()
    source = zipfile.ZipFile(io.BytesIO(data))
    assert sorted(source.namelist()) == sorted(FILES)
    kept = tmp_path / "kept.txt"
    kept.write_bytes(source.read("public_keys.txt"))
    own = source.read("verifier.py")
    for name in sorted(FILES):
        altered = rewritten(data, {name: _one_byte})
        assert not checked(altered, own, tmp_path / name, kept), name
        if name != "signature.txt":
            assert not checked(rewritten(data, {name: None}), own, tmp_path / f"no {name}", kept), name
    assert checked(data, own, tmp_path / "whole", kept)


def checked(data: bytes, own: bytes, folder: Path, kept: Path) -> bool:
    folder.mkdir()
    (folder / "own.py").write_bytes(own)
    (folder / "pack.zip").write_bytes(data)
    argv = [sys.executable, "-I", "own.py", "pack.zip", "--public-key", str(kept)]
    run = subprocess.run(argv, cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in run.stderr
    return run.returncode == 0


@pytest.mark.not_on_postgres("the pack is altered after it was made")
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["more.txt", "requests.jsonl"])
def test_a_file_put_in_or_put_in_twice(pack: Callable[[], bytes], tmp_path: Path, name: str) -> None:
    """Unpacking takes the last of two files with one name, a reader the first."""
    out = io.BytesIO(pack())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, b"{}\n")
    told = result(out.getvalue(), tmp_path / "v")
    assert any(f"{name} is in the pack twice" in damage["says"] for damage in told["damage"])
