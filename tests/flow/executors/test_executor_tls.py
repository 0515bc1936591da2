"""The connection goes to the checked address, the certificate is the name's."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.dispatch.executors.addresses import AllowList
from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.job.outcomes import Failure, Success
from tests.support.servers.http_targets import Target, an_executor, ask, http


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The certificate of a server of that name, and what a client needs to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize(
    ("certified", "expected"), [("agent.example", Success), ("other.example", Failure)]
)
def test_the_certificate_is_verified_against_the_name_not_the_address(
    certified: str, expected: type[Outcome], tmp_path: Path
) -> None:
    server, client = certificate_for(certified, tmp_path)

    async def local(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    executor = an_executor(AllowList.parse("agent.example"), resolve=local, tls=client)
    target = Target(http("200 OK"), tls=server)

    outcome = asyncio.run(ask(target, "https://agent.example:{port}/", executor))

    assert isinstance(outcome, expected)
    if isinstance(outcome, Failure):
        assert outcome.failure_class == "unreachable"
        assert "certificate" in outcome.error
