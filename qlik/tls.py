"""The TLS side of a connection: the files that Qlik Sense exports, made into one context."""

from __future__ import annotations

import ssl
from pathlib import Path

from qlik.errors import CertificateError
from qlik.settings import QrsSettings

CLIENT_FILE = "client.pem"
KEY_FILE = "client_key.pem"
ROOT_FILE = "root.pem"

EXPORT_HINT = "Export the certificates again in the QMC (Certificates, platform independent PEM format)."
RENEWAL_HINT = f"Have the site's certificates made anew in Qlik Sense, with SHA-256 and longer keys. {EXPORT_HINT}"

# What a server says when it turns down the handshake. In TLS 1.3 a client learns of it only when it reads
# the first answer, so after it has written its request; the server never looked at that request.
HANDSHAKE_ALERTS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)


def list_certificate_files(settings: QrsSettings) -> tuple[Path, ...]:
    """Return the files that a context is made from, whether they are there or not."""
    names = (CLIENT_FILE, KEY_FILE, ROOT_FILE) if settings.shows_certificate else (ROOT_FILE,)
    return tuple(settings.certificate_folder / name for name in names)


def make_client_context(settings: QrsSettings) -> ssl.SSLContext:
    """Return a context that shows client.pem and trusts root.pem and nothing else.

    For a virtual proxy it shows nothing, and trusts the system's authorities where there is no root.pem. Raises
    CertificateError for a file that is missing, unreadable or does not fit the others.
    """
    folder = settings.certificate_folder
    # Not create_default_context: from Python 3.13 on it demands extensions that Qlik's root need not have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.shows_certificate:
        _load_client_certificate(context, folder, settings.key_password)
    context.check_hostname = settings.verify and settings.check_host_name
    if not settings.verify:
        context.verify_mode = ssl.CERT_NONE
    elif settings.shows_certificate or (folder / ROOT_FILE).exists():
        _load_root(context, folder / ROOT_FILE)
    else:
        context.load_default_certs()
    return context


def _load_client_certificate(context: ssl.SSLContext, folder: Path, key_password: str | None) -> None:
    certificate, key = folder / CLIENT_FILE, folder / KEY_FILE
    _require_readable(certificate)
    _require_readable(key)
    try:
        # With no password at all OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=key_password or "")
    except ssl.SSLError as error:
        raise CertificateError(_client_message(certificate, key, error, key_password=key_password)) from error
    except ValueError as error:
        raise CertificateError(f"The pass phrase of {key} cannot be used: {error}. {EXPORT_HINT}") from error


def _client_message(certificate: Path, key: Path, error: ssl.SSLError, *, key_password: str | None) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return f"{key} is not the key of {certificate}: both must come from one export. {EXPORT_HINT}"
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL":
            return f"The key of {certificate} is too short for OpenSSL, which wants 2048 bits or more. {RENEWAL_HINT}"
        case "CA_MD_TOO_WEAK":
            return f"{certificate} is signed with SHA-1 or MD5, which OpenSSL does not take. {RENEWAL_HINT}"
    if _is_encrypted(key):
        found = "and the one that is set does not open it" if key_password else "and none is set"
        return (
            f"{key} has a pass phrase, {found} ({error.reason or error}): a key with a pass phrase needs the right one,"
            f" in QRS_KEY_PASSWORD. Or: {EXPORT_HINT}"
        )
    return (
        f"{certificate} and {key} must be a certificate and its key in PEM format, and a key with a pass"
        f" phrase needs the right one: {error.reason or error}. {EXPORT_HINT}"
    )


def _is_encrypted(key: Path) -> bool:
    # As PKCS #8 says it in its first line, and the older form in its second
    return b"ENCRYPTED" in key.read_bytes()[:1024]


def _load_root(context: ssl.SSLContext, root: Path) -> None:
    _require_readable(root)
    try:
        context.load_verify_locations(root)
    except ssl.SSLError as error:
        raise CertificateError(
            f"{root} must hold the site's root certificate in PEM format: {error.reason or error}. {EXPORT_HINT}"
        ) from error


def _require_readable(file: Path) -> None:
    try:
        with file.open("rb"):
            return
    except OSError as error:
        raise CertificateError(
            f"{file} cannot be read ({error.strerror}): it must be there and readable by this process. {EXPORT_HINT}"
        ) from error
