"""docs/configuration.md and .env.example know every setting that butler/settings.py reads, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/configuration.md").read_text()
READ = set(re.findall(r'settings_from\.read_\w+\(\s*"([A-Z_]+)"', (ROOT / "butler/settings.py").read_text()))


def section(name: str) -> str:
    """Return what the document says about one setting."""
    return re.split(r"^#", DOCUMENT.split(f"### {name}\n")[1], flags=re.MULTILINE)[0]


def test_every_setting_has_a_section_and_every_section_a_setting():
    assert len(READ) >= 14
    assert re.findall(r"^### ([A-Z_]+)$", DOCUMENT, flags=re.MULTILINE) == sorted(
        READ, key=lambda name: DOCUMENT.index(f"### {name}\n")
    )


@pytest.mark.parametrize("name", sorted(READ))
def test_a_section_has_default_allowed_values_and_an_example(name):
    text = section(name)
    assert "| default |" in text
    assert "| allowed |" in text
    assert f"| example | `{name}=" in text


def test_the_example_file_has_every_setting():
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^#([A-Z_]+)=", example, flags=re.MULTILINE)) == READ


def test_the_example_file_sets_nothing():
    assert all(line.startswith("#") for line in (ROOT / ".env.example").read_text().splitlines() if line)


def test_it_lists_every_system_check():
    defined = set(re.findall(r'id="(butler\.[EW]\d+)"', (ROOT / "butler/checks.py").read_text()))
    assert set(re.findall(r"`(butler\.[EW]\d+)`", DOCUMENT)) == defined
