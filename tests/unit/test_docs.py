"""The documents: what they show is what the tests replay, and their links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.test_session import SAMPLE

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_the_session_of_the_readme_is_the_one_that_is_replayed():
    (body,) = re.findall(r"-d '(\{.*\})'", (ROOT / "README.md").read_text())

    assert json.loads(body) == SAMPLE


def test_the_readme_imports_the_example_that_there_is():
    (file,) = re.findall(r"schedules import (\S+)", (ROOT / "README.md").read_text())

    assert (ROOT / file).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (document.parent / link).exists()] == []


def test_every_make_target_that_the_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for document in DOCUMENTS for name in re.findall(r"`?make ([a-z-]+)`", document.read_text())}

    assert named
    assert named <= targets
