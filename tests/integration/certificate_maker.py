"""Certificates with one thing wrong, really made: by a library, and with SHA-1 by the openssl command."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier

ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: str = "") -> bytes:
        """Return the key, encrypted where there is a password."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def make_pair(
    name: str,
    *,
    by: Pair | None = None,
    bits: int = 2048,
    days: tuple[float, float] = (-1, 365),
    usage: Sequence[ObjectIdentifier] = (),
    address: str = ADDRESS,
    is_authority: bool = False,
) -> Pair:
    """Return a certificate signed `by` another, or by itself, that is good from the first to the second of the days."""
    key = generate_private_key(public_exponent=65537, key_size=bits)
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not is_authority:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return Pair(builder.sign(by.key if by else key, SHA256()), key)


def make_root(name: str = "root", *, bits: int = 2048, days: tuple[float, float] = (-1, 365)) -> Pair:
    """Return an authority."""
    return make_pair(name, bits=bits, days=days, is_authority=True)


def sign_with_sha1(pair: Pair, *, by: Pair, folder: Path) -> Pair:
    """Return the same certificate, signed with SHA-1, which the library refuses to do."""
    files = {"old.pem": pair.pem, "key.pem": pair.key_pem(), "ca.pem": by.pem, "ca_key.pem": by.key_pem()}
    for file, content in files.items():
        (folder / file).write_bytes(content)
    (folder / "extensions").write_text(f"subjectAltName=IP:{ADDRESS}\n")
    request = ["openssl", "x509", "-x509toreq", "-in", "old.pem", "-signkey", "key.pem", "-out", "request.pem"]
    sign = ["openssl", "x509", "-req", "-sha1", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca_key.pem"]
    for command in (request, [*sign, "-set_serial", "7", "-days", "9", "-extfile", "extensions", "-out", "new.pem"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return replace(pair, certificate=x509.load_pem_x509_certificate((folder / "new.pem").read_bytes()))
