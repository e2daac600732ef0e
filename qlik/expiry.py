"""Until when the certificates are good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qlik.errors import CertificateError
from qlik.settings import QrsSettings
from qlik.tls import CLIENT_FILE, EXPORT_HINT, ROOT_FILE


@dataclass(frozen=True, slots=True)
class CertificateExpiry:
    """The last moment (UTC) at which a certificate is accepted."""

    file: Path
    expires_at: datetime


def list_expiries(settings: QrsSettings) -> list[CertificateExpiry]:
    """Return until when client.pem and root.pem are good, of those that calls need.

    A virtual proxy asks for no client.pem, and root.pem may be missing then. Raises CertificateError for a file that
    cannot be read.
    """
    client, root = settings.certificate_folder / CLIENT_FILE, settings.certificate_folder / ROOT_FILE
    expiries = []
    if settings.shows_certificate:
        # Others may follow it, but it is the first that the client shows
        expiries.append(CertificateExpiry(client, _read_ends(client)[0]))
    if settings.verify and (settings.shows_certificate or root.exists()):
        # Of several roots one is enough
        expiries.append(CertificateExpiry(root, max(_read_ends(root))))
    return expiries


def _read_ends(file: Path) -> list[datetime]:
    # Takes longer to load than all else of the client, and few processes ask
    from cryptography import x509

    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateError(f"{file} holds no certificate in PEM format: {error}. {EXPORT_HINT}") from error
    return [certificate.not_valid_after_utc for certificate in certificates]
