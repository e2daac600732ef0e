"""Certificates in the layout that Qlik Sense exports, and the server's own."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

ROOT_FILE = "root.pem"
CLIENT_FILE = "client.pem"
CLIENT_KEY_FILE = "client_key.pem"
SERVER_FILE = "server.pem"
SERVER_KEY_FILE = "server_key.pem"

# Certificates that end sooner are made anew, so that a long session does not outlive them.
REMAINING_LIFE = timedelta(days=1)


class ForeignCertificatesError(Exception):
    """The folder holds somebody else's certificates."""


def ensure_certificates(folder: Path, *, names: Iterable[str] = ()) -> None:
    """Make a root, a client and a server certificate in `folder`, unless usable ones are there.

    The server's is good for 127.0.0.1, localhost and `names`. The root's key is kept nowhere. Raises
    ForeignCertificatesError rather than overwrite what a real site exported.
    """
    wanted = {"127.0.0.1", "localhost", *names}
    if _are_usable(folder, wanted):
        return
    if (folder / CLIENT_FILE).exists() and not (folder / SERVER_KEY_FILE).exists():
        raise ForeignCertificatesError(
            f"{folder} holds certificates that the simulator did not make, and would have to overwrite: name"
            " another folder with --certificates."
        )
    _make_certificates(folder, sorted(wanted))


def make_proxy_context(folder: Path) -> ssl.SSLContext:
    """Return a context that demands no client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_pair(context, folder / SERVER_FILE, folder / SERVER_KEY_FILE)
    return context


def make_server_context(folder: Path) -> ssl.SSLContext:
    """Return a context that demands a client certificate signed by the folder's root."""
    context = make_proxy_context(folder)
    context.load_verify_locations(folder / ROOT_FILE)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _make_certificates(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="Qlik Sense simulator")
    client = authority.issue_cert(common_name="QlikClient")
    server = authority.issue_cert(*names, common_name=names[0])
    _write_private(folder / SERVER_KEY_FILE, server.private_key_pem)
    _write_private(folder / CLIENT_KEY_FILE, client.private_key_pem)
    client.cert_chain_pems[0].write_to_path(folder / CLIENT_FILE)
    server.cert_chain_pems[0].write_to_path(folder / SERVER_FILE)
    authority.cert_pem.write_to_path(folder / ROOT_FILE)


def _write_private(file: Path, key: trustme.Blob) -> None:
    # Never readable by others, not even for the moment between a write and a chmod.
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(key.bytes())


def _are_usable(folder: Path, names: set[str]) -> bool:
    try:
        make_server_context(folder)
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), folder / CLIENT_FILE, folder / CLIENT_KEY_FILE)
        root, client, server = (_read(folder / file) for file in (ROOT_FILE, CLIENT_FILE, SERVER_FILE))
        client.verify_directly_issued_by(root)
        server.verify_directly_issued_by(root)
    except (OSError, ValueError, InvalidSignature):
        return False
    ends_at = min(certificate.not_valid_after_utc for certificate in (root, client, server))
    return ends_at > datetime.now(UTC) + REMAINING_LIFE and _names_of(server) >= names


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    # Without a password OpenSSL would ask for one on the terminal when the key has one.
    context.load_cert_chain(certificate, key, password="")


def _read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def _names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}
