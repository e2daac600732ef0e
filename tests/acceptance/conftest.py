"""Fixtures of the acceptance tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlik.simulator.certificates import ensure_certificates


@pytest.fixture
def certificate_folder(tmp_path: Path) -> Path:
    """A folder with certificates as Qlik Sense exports them."""
    folder = tmp_path / "certificates"
    ensure_certificates(folder)
    return folder
