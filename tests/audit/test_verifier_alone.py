"""verifier.py outside of the project: `python -I`, standard library only; packs, folders and single files."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from segadmin.audit import verifier
from segadmin.audit.chain import START, canonical, chain_value, digest_of
from segadmin.audit.receipts import receipt_of

RECORDS = 12
PYTHON = sys.executable
ORIGINAL = Path(verifier.__file__)
# RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


# -- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS, ids=["empty", "1", "2", "SHA(abc)"])
def test_signatures_of_the_rfc(secret: str, public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert verifier.signature_fits(key, text, signed)
    assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).public_key().public_bytes_raw() == key
    assert not verifier.signature_fits(key, text + b"x", signed)
    assert not verifier.signature_fits(key, text, bytes([signed[0] ^ 1]) + signed[1:])
    assert not verifier.signature_fits(bytes([key[0] ^ 1]) + key[1:], text, signed)


@settings(max_examples=60, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300), flip=st.integers(0, 511))
def test_signatures_as_the_library_makes_them(seed: bytes, message: bytes, flip: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verifier.signature_fits(public, message, signature)
    wrong = bytearray(signature)
    wrong[flip // 8] ^= 1 << flip % 8
    assert not verifier.signature_fits(public, message, bytes(wrong))


@settings(max_examples=60, deadline=None)
@given(public=st.binary(max_size=40), message=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_signatures_that_are_none(public: bytes, message: bytes, signature: bytes) -> None:
    assert not verifier.signature_fits(public, message, signature)


def test_a_signature_has_one_form_only() -> None:
    """The same signature with the group's order added to its second half is refused, as RFC 8032 says."""
    _secret, public, message, signature = VECTORS[1]
    s = int.from_bytes(bytes.fromhex(signature)[32:], "little") + verifier._L
    other = bytes.fromhex(signature)[:32] + s.to_bytes(32, "little")
    assert not verifier.signature_fits(bytes.fromhex(public), bytes.fromhex(message), other)


# -- packs ------------------------------------------------------------------------------------------------------------


class Pack:
    """A folder laid out as an evidence pack, with a record made here by the documented rules."""

    def __init__(self, folder: Path, records: int = RECORDS) -> None:
        self.folder = folder
        self.private = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
        self.public = self.private.public_key().public_bytes_raw().hex()
        self.key_id = hashlib.sha256(bytes.fromhex(self.public)).hexdigest()[:16]
        self.texts = [self.text(seq) for seq in range(1, records + 1)]
        self.links: list[tuple[int, int, str, str]] = []
        self.chain()
        self.checkpoints = [self.checkpoint(1, 6), self.checkpoint(2, records)]
        self.write()

    @staticmethod
    def text(seq: int, epoch: int = 1, **more: object) -> str:
        told = {
            "action": "export.cancel",
            "at": f"2026-03-01T00:00:{seq % 60:02}.000000+00:00",
            "sentence": f"did {seq} é",
        }
        return canonical({**told, "epoch": epoch, "seq": seq, "salt": f"{seq:032x}", **more})

    def chain(self) -> None:
        previous = START
        self.links = []
        for text in self.texts:
            told = json.loads(text)
            digest = digest_of(text)
            previous = chain_value(told["epoch"], told["seq"], previous, digest)
            self.links.append((told["epoch"], told["seq"], digest, previous))

    def checkpoint(self, number: int, seq: int, at: str = "2026-03-01T00:05:00Z") -> str:
        epoch, _seq, _digest, chain = next(link for link in self.links if link[1] == seq)
        before = self.checkpoints[-1] if number > 1 and hasattr(self, "checkpoints") else ""
        if number > 1 and not before:
            before = self.checkpoint(number - 1, 6, at)
        previous = hashlib.sha256(f"{before}\n".encode()).hexdigest() if before else START
        line = f"segadmin-checkpoint-1 {number} {epoch} {seq} {seq} {chain} {at} {previous} {self.key_id}"
        return f"{line} {self.private.sign(f'{line}\n'.encode()).hex()}"

    def write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        rows = ["epoch,seq,digest,chain", *(",".join(map(str, link)) for link in self.links)]
        files = {
            "events.jsonl": "".join(f"{text}\n" for text in self.texts),
            "digests.csv": "".join(f"{row}\r\n" for row in rows),
            "checkpoints.txt": "".join(f"{line}\n" for line in self.checkpoints),
            "public_keys.txt": f"segadmin-key-1 {self.key_id} {self.public} 2026-03-01T00:00:00Z\n",
        }
        for name, text in files.items():
            (self.folder / name).write_bytes(text.encode())
        listed = {name: {"sha256": hashlib.sha256(text.encode()).hexdigest()} for name, text in files.items()}
        told = {"format": "segadmin-evidence-1", "files": listed, "range": {"first": 1, "last": len(self.texts)}}
        (self.folder / "manifest.json").write_text(json.dumps(told))

    def zip(self) -> Path:
        path = self.folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(self.folder.iterdir()):
                archive.write(file, file.name)
        return path


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path / "pack")


def alone(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the verifier in a place of its own, isolated."""
    copy = path.parent / "elsewhere" / "verifier.py"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(ORIGINAL, copy)
    return subprocess.run(
        [PYTHON, "-I", str(copy), str(path), *words],
        cwd=copy.parent,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def result(path: Path, *words: str) -> dict[str, Any]:
    run = alone(path, *words, "--json")
    assert run.returncode in (0, 1), run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    assert told["ok"] is (run.returncode == 0)
    return told


def first(told: dict[str, Any]) -> tuple[str, int]:
    return told["damage"][0]["kind"], told["damage"][0]["seq"]


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_whole_pack(pack: Pack, form: str) -> None:
    run = alone(pack.folder if form == "folder" else pack.zip())
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Records 1 to 12: 12" in run.stdout
    assert "checkpoints that agree: 2" in run.stdout
    assert "Unbroken." in run.stdout
    assert "What this does not prove" in run.stdout
    assert "No checkpoint that you kept was compared" in run.stdout


def test_it_needs_nothing_but_python(pack: Pack) -> None:
    source = ORIGINAL.read_text(encoding="utf-8")
    assert "segadmin." not in source.replace("segadmin-", "").split('"""')[2]
    assert alone(pack.folder).stderr == ""


def test_a_part_of_the_texts_is_enough_for_the_row(pack: Pack) -> None:
    pack.texts = pack.texts[3:5]
    pack.write()
    told = result(pack.folder)
    assert told["ok"]
    assert (told["with_content"], told["by_digest_only"]) == (2, RECORDS - 2)


def test_a_range_that_begins_later(pack: Pack) -> None:
    pack.texts, pack.links = pack.texts[4:], pack.links[3:]
    pack.write()
    told = result(pack.folder)
    assert told["ok"]
    assert (told["first"], told["events"]) == (4, 9)
    assert any("the one before it is not in these files" in remark for remark in told["remarks"])


def test_a_range_whose_manifest_tells_the_link_before(pack: Pack) -> None:
    before = pack.links[3][3]
    pack.texts, pack.links = pack.texts[4:], pack.links[4:]
    pack.write()
    manifest = json.loads((pack.folder / "manifest.json").read_text())
    manifest["range"]["previous_chain"] = before
    (pack.folder / "manifest.json").write_text(json.dumps(manifest))
    told = result(pack.folder)
    assert told["ok"]
    assert not any("follows from" in remark for remark in told["remarks"])
    manifest["range"]["previous_chain"] = "0" * 64
    (pack.folder / "manifest.json").write_text(json.dumps(manifest))
    assert first(result(pack.folder)) == ("changed", 5)


def without_manifest(pack: Pack) -> None:
    """What is found without the list of hashes."""
    (pack.folder / "manifest.json").unlink()


type Change = Callable[[Pack], None]


def altered_text(pack: Pack) -> None:
    pack.texts[4] = pack.texts[4].replace("did 5", "did not")


def altered_digest(pack: Pack) -> None:
    epoch, seq, _digest, chain = pack.links[4]
    pack.links[4] = (epoch, seq, "f" * 64, chain)
    pack.texts = []


def altered_chain(pack: Pack) -> None:
    epoch, seq, digest, _chain = pack.links[4]
    pack.links[4] = (epoch, seq, digest, "f" * 64)


def removed_link(pack: Pack) -> None:
    del pack.links[4], pack.texts[4]


def removed_and_renumbered(pack: Pack) -> None:
    del pack.links[4], pack.texts[4]
    pack.links = [(e, seq if seq < 5 else seq - 1, d, c) for e, seq, d, c in pack.links]
    pack.texts = []


def inserted_and_renumbered(pack: Pack) -> None:
    pack.links = [(e, seq if seq < 5 else seq + 1, d, c) for e, seq, d, c in pack.links]
    pack.links.insert(4, (1, 5, "a" * 64, chain_value(1, 5, pack.links[3][3], "a" * 64)))
    pack.texts = []


def inserted_text(pack: Pack) -> None:
    pack.texts.insert(RECORDS, Pack.text(RECORDS + 1))


def swapped(pack: Pack) -> None:
    a, b = pack.links[4], pack.links[8]
    pack.links[4], pack.links[8] = (1, 5, *b[2:]), (1, 9, *a[2:])
    pack.texts = []


def swapped_lines(pack: Pack) -> None:
    pack.texts[4], pack.texts[8] = pack.texts[8], pack.texts[4]


def cut_tail(pack: Pack) -> None:
    """The files say by a younger checkpoint that they were made after the one that is missing its record."""
    younger = pack.checkpoint(3, 6, "2026-04-01T00:00:00Z")
    pack.links, pack.texts = pack.links[:9], pack.texts[:9]
    pack.checkpoints.append(younger)


DAMAGES: dict[Change, tuple[str, int]] = {
    altered_text: ("changed", 5),
    altered_digest: ("changed", 5),
    altered_chain: ("changed", 5),
    removed_link: ("removed", 5),
    removed_and_renumbered: ("removed", 5),
    inserted_and_renumbered: ("inserted", 5),
    inserted_text: ("inserted", RECORDS + 1),
    swapped: ("reordered", 5),
    swapped_lines: ("reordered", 6),
    cut_tail: ("tail cut", 10),
}


@pytest.mark.parametrize("change", DAMAGES, ids=lambda change: change.__name__)
def test_damage_is_found_and_named(pack: Pack, change: Change) -> None:
    change(pack)
    pack.write()
    without_manifest(pack)
    assert first(result(pack.folder)) == DAMAGES[change]


def test_a_file_that_the_manifest_does_not_list_so(pack: Pack) -> None:
    (pack.folder / "digests.csv").write_bytes((pack.folder / "digests.csv").read_bytes() + b"\r\n")
    (pack.folder / "public_keys.txt").unlink()
    told = result(pack.folder)
    assert [damage["kind"] for damage in told["damage"]] == ["file differs", "file differs"]


def test_an_altered_checkpoint_of_the_pack(pack: Pack) -> None:
    pack.checkpoints[0] = pack.checkpoints[0].replace("2026-03-01T00:05", "2026-02-01T00:05")
    pack.write()
    assert first(result(pack.folder)) == ("checkpoint mismatch", 6)


# -- what was kept outside --------------------------------------------------------------------------------------------


def rewritten(pack: Pack) -> None:
    """Everything from scratch with the folder's own key."""
    pack.texts[2] = pack.texts[2].replace("did 3", "did nothing")
    pack.chain()
    del pack.checkpoints
    pack.checkpoints = [pack.checkpoint(1, 6), pack.checkpoint(2, RECORDS)]
    pack.write()


def test_a_rewritten_record_fails_against_a_checkpoint_kept_outside(pack: Pack, tmp_path: Path) -> None:
    mail = tmp_path / "mail.txt"
    quoted = "\n".join(f"> {word}" for word in pack.checkpoints[0].split(" "))
    mail.write_text(f"From: segadmin\n\n{quoted}\n")
    rewritten(pack)
    assert result(pack.folder)["ok"]
    told = result(pack.folder, "--checkpoints", str(mail))
    assert first(told) == ("checkpoint mismatch", 6)
    assert "which you kept" in told["damage"][0]["says"]


def test_an_untouched_record_agrees_with_it(pack: Pack, tmp_path: Path) -> None:
    mail = tmp_path / "mail.txt"
    mail.write_text(f"{pack.checkpoints[0]}\nPublic key: {pack.public}\n")
    run = alone(pack.zip(), "--checkpoints", str(mail), "--public-key", str(mail))
    assert run.returncode == 0
    assert "of them kept by you: 1" in run.stdout
    assert "No checkpoint that you kept" not in run.stdout


def test_keys_that_are_not_trusted(pack: Pack, tmp_path: Path) -> None:
    other = tmp_path / "keys.txt"
    other.write_text("ab" * 32)
    told = result(pack.folder, "--public-key", str(other))
    assert told["ok"]
    assert sum("not at hand" in remark for remark in told["remarks"]) == 2


def test_a_file_without_checkpoints_is_refused(pack: Pack, tmp_path: Path) -> None:
    mail = tmp_path / "mail.txt"
    mail.write_text("nothing")
    run = alone(pack.folder, "--checkpoints", str(mail))
    assert run.returncode == 2
    assert "holds no checkpoint" in run.stderr


@pytest.mark.parametrize("name", ["events.jsonl", "digests.csv"])
def test_a_single_file(pack: Pack, tmp_path: Path, name: str) -> None:
    """Texts from record 1 on give the whole row by themselves."""
    mail = tmp_path / "mail.txt"
    mail.write_text(pack.checkpoints[0])
    alone_file = tmp_path / "received.txt"
    shutil.copy(pack.folder / name, alone_file)
    told = result(alone_file, "--checkpoints", str(mail))
    assert told["ok"]
    assert (told["events"], told["own_checkpoints"]) == (RECORDS, 1)
    rewritten(pack)
    shutil.copy(pack.folder / name, alone_file)
    assert first(result(alone_file, "--checkpoints", str(mail))) == ("checkpoint mismatch", 6)


def test_texts_in_another_json_form_with_a_receipt_at_the_end(pack: Pack, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    lines = [json.dumps(json.loads(text)) for text in pack.texts]
    file.write_text("\n".join([*lines, json.dumps({"receipt": {"rows": RECORDS}})]) + "\n")
    mail = tmp_path / "mail.txt"
    mail.write_text(pack.checkpoints[1])
    told = result(file, "--checkpoints", str(mail))
    assert told["ok"]
    assert told["own_checkpoints"] == 1


def test_texts_with_holes_can_not_make_the_row(pack: Pack, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(pack.texts[:3] + pack.texts[5:]) + "\n")
    told = result(file)
    assert told["ok"]
    assert "can't be made from record 6 on" in told["remarks"][0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"1,x,y,z\r\n", b"\xff\xfe\x00"])
def test_what_is_no_pack_is_refused_or_empty(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "strange"
    file.write_bytes(content)
    run = alone(file)
    assert run.returncode == 2 or "There are no records" in run.stdout
    assert "Traceback" not in run.stderr


# -- restores ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def restored(pack: Pack) -> Pack:
    """Records 9 to 12 were lost, with the checkpoint of 12; record 1001 says so."""
    statement = {
        "last_kept": 8,
        "first_new": 1001,
        "checkpoints": [pack.checkpoints[1]],
    }
    pack.texts = pack.texts[:8]
    pack.texts.append(Pack.text(1001, 2, action="record.epoch", details=statement))
    pack.texts.append(Pack.text(1002, 2))
    pack.chain()
    pack.write()
    without_manifest(pack)
    return pack


def test_a_stated_restore_is_understood(restored: Pack) -> None:
    told = result(restored.folder)
    assert told["ok"], told["damage"]
    assert (told["first"], told["last"], told["events"]) == (1, 1002, 10)
    assert any("begins epoch 2" in remark for remark in told["remarks"])
    assert any("lost in a restore" in remark for remark in told["remarks"])


def test_a_restore_that_hides_a_checkpoint_shows(restored: Pack, tmp_path: Path) -> None:
    mail = tmp_path / "mail.txt"
    mail.write_text(restored.checkpoints[1])
    restored.checkpoints = []
    restored.texts[8] = Pack.text(
        1001, 2, action="record.epoch", details={"last_kept": 8, "first_new": 1001, "checkpoints": []}
    )
    restored.chain()
    restored.write()
    assert first(result(restored.folder, "--checkpoints", str(mail))) == ("checkpoint mismatch", 12)


def test_a_leap_that_no_restore_states(restored: Pack) -> None:
    restored.texts[8] = Pack.text(1001, 2)
    restored.chain()
    restored.write()
    without_manifest(restored)
    assert first(result(restored.folder)) == ("removed", 9)


def test_a_restore_by_digest_only(restored: Pack) -> None:
    restored.texts = restored.texts[:8]
    restored.checkpoints = []
    restored.write()
    told = result(restored.folder)
    assert told["ok"]
    assert any("its text is not in these files" in remark for remark in told["remarks"])


# -- the example of the README ----------------------------------------------------------------------------------------


def test_the_documented_example() -> None:
    text = (
        '{"action":"export.cancel","actor":{"address":"10.20.4.17","correlation_id":"7f31bb20","id":"7","kind":"person",'
        '"name":"operator","roles":["operator"],"signed_in":"password"},"at":"2026-07-02T09:01:17.000000+00:00",'
        '"attempt":"","details":{"reason":"wrong dataset"},"epoch":1,"job":"24128","organization":{"name":"Acme Retail",'
        '"slug":"acme"},"outcome":"requested","request":"","salt":"000102030405060708090a0b0c0d0e0f","sandbox":"prod",'
        '"sentence":"asked to cancel 24128 “Birthday in July”","seq":1}'
    )
    digest = "8ea178ec22837bbcf855ac12d2fd9cfe467ec98fada76dbc9cf5561851a77edd"
    chain = "9479dc1d1a795539f96e8035a4ade2add2b1b8cdbff94fb35f6b67c99d017c0f"
    assert canonical(json.loads(text)) == text
    assert digest_of(text) == digest
    assert chain_value(1, 1, START, digest) == chain
    assert str(receipt_of(1, chain)) == "1-9479-dc1d-1a79-2s"
