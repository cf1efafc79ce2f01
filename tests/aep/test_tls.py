"""Certificates that must not be accepted, one that must, and no way round."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from segadmin.aep import Unavailable
from tests.aep.support import real_transport
from tests.aep.wire import Behaviour, WireServer, answer, drip, raw

PATH = "/data/core/ups/thing"


def certificate(folder: Path, *, address: str = "127.0.0.1", days: int = 1) -> Path:
    """A self-signed certificate with its key in one PEM file; negative `days` make it one that has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "segadmin test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def serve_tls() -> Iterator[Callable[[Path], WireServer]]:
    with ExitStack() as stack:

        def start(pem: Path) -> WireServer:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            return stack.enter_context(WireServer([answer({"fine": True})], tls=context))

        yield start


def test_a_trusted_authority_file_makes_it_work(serve_tls: Callable[[Path], WireServer], tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    server = serve_tls(pem)
    transport = real_transport(server.place, scheme="https", ca_file=str(pem))
    assert transport.get(PATH).json == {"fine": True}
    assert transport.post(PATH, json={}).json == {"fine": True}


def test_self_signed_is_refused_with_its_own_message(serve_tls: Callable[[Path], WireServer], tmp_path: Path) -> None:
    server = serve_tls(certificate(tmp_path))
    with pytest.raises(Unavailable, match=r"certificate of 127\.0\.0\.1 was not accepted: self-signed") as caught:
        real_transport(server.place, scheme="https").post(PATH, json={})
    assert (caught.value.code, caught.value.not_sent) == ("tls_certificate", True)
    assert not server.seen


def test_certificate_faults_are_not_retried(serve_tls: Callable[[Path], WireServer], tmp_path: Path) -> None:
    server = serve_tls(certificate(tmp_path))
    with pytest.raises(Unavailable):
        real_transport(server.place, scheme="https").get(PATH)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("settings", "words"), [({"days": -1}, "expired"), ({"address": "127.0.0.2"}, "IP address mismatch")]
)
def test_expired_or_for_another_host(
    serve_tls: Callable[[Path], WireServer], tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    pem = certificate(tmp_path, **settings)
    server = serve_tls(pem)
    with pytest.raises(Unavailable, match=words) as caught:
        real_transport(server.place, scheme="https", ca_file=str(pem)).post(PATH, json={})
    assert caught.value.code == "tls_certificate"
    assert not server.seen


@pytest.mark.parametrize("behaviour", [raw(b"HTTP/1.1 200 OK\r\n\r\n"), drip(b"\x16\x03\x03" + b"\x00" * 500)])
def test_no_tls_at_all_is_not_sent_either(behaviour: Behaviour) -> None:
    with WireServer([behaviour]) as server, pytest.raises(Unavailable) as caught:
        real_transport(server.place, scheme="https", deadline_seconds=0.6).post(PATH, json={})
    assert caught.value.not_sent
    assert b"token-1" not in b"".join(seen.raw for seen in server.seen)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_file_that_can_not_be_read(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Unavailable, match="certificate authority could not be read") as caught:
        real_transport("127.0.0.1:9", scheme="https", ca_file=str(path)).post(PATH, json={})
    assert caught.value.not_sent
