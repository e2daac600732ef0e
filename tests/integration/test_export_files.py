"""Exports into files that are there already: the new text as a whole, or the former one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db


@pytest.fixture
def former(tmp_path: Path, make_schedule) -> Path:
    """The file of an earlier export."""
    make_schedule()
    file = tmp_path / "all.yaml"
    file.write_text("former\n")
    file.chmod(0o640)
    return file


def write_half(path: Path, text: str, **_: object) -> None:
    """Write as a disk does that is full soon."""
    path.write_bytes(text[:10].encode())
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_export_for_which_there_is_no_room_leaves_the_former_one(former, monkeypatch):
    monkeypatch.setattr(Path, "write_text", write_half)

    assert "cannot be written: No space left on device" in schedules("export", str(former)).refusal.replace("\n", " ")

    assert former.read_text() == "former\n"
    assert list(former.parent.iterdir()) == [former]


def test_an_export_takes_the_place_of_the_former_one_with_its_rights(former):
    assert schedules("export", str(former)).refusal == ""

    assert former.read_text() == schedules("export").out
    assert former.stat().st_mode & 0o777 == 0o640
    assert list(former.parent.iterdir()) == [former]


def test_a_link_goes_on_leading_to_its_file(former, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to(former)

    assert schedules("export", str(link)).refusal == ""

    assert link.is_symlink()
    assert former.read_text() == schedules("export").out
