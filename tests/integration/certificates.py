"""Certificates as Qlik Sense exports them, with a date of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


def write_certificates(folder: Path, *, days_left: float) -> Path:
    """Write files of which client.pem expires so many days from now, and root.pem never; return the folder."""
    authority = trustme.CA()
    now = datetime.now(UTC)
    client = authority.issue_cert(
        common_name="QlikClient", not_before=now - timedelta(days=400), not_after=now + timedelta(days=days_left)
    )
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client_key.pem")
    authority.cert_pem.write_to_path(folder / "root.pem")
    return folder
