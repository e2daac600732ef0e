"""Which edition of the time zone database is used, in every kind of process, and who is told of another."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tzdata

from schedules import lease as lease_module
from schedules import vitals, zone_data
from schedules.lease import PlannerLease
from schedules.models import Lease
from schedules.vitals import read_vitals
from schedules.zone_data import ZoneData

ROOT = Path(__file__).parents[2]
PACKAGE = tzdata.IANA_VERSION
ZONES = Path(tzdata.__file__).parent / "zoneinfo"
#: What the system's database says of Stockholm in these tests, to be told from the package's
FOREIGN_HOURS = 9.0

SHOW = (
    "import json; from datetime import datetime; from zoneinfo import ZoneInfo, available_timezones;"
    "from schedules.zone_data import use_newest; from dataclasses import asdict;"
    "hours = datetime(2026, 1, 15, tzinfo=ZoneInfo('Europe/Stockholm')).utcoffset().total_seconds() / 3600;"
    "print(json.dumps(asdict(use_newest()) | {'hours': hours, 'many': len(available_timezones()) > 400}))"
)


@pytest.fixture
def system(tmp_path):
    """Return a function that makes a system's database, in which Stockholm keeps Tokyo's time, and its folder."""

    def make(*, name: str = "tzdata.zi", text: str) -> Path:
        (tmp_path / "Europe").mkdir()
        shutil.copy(ZONES / "Asia/Tokyo", tmp_path / "Europe/Stockholm")
        shutil.copy(ZONES / "UTC", tmp_path / "UTC")
        if name:
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def run(folder: Path | str, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUTLER", "QRS"))}
    answer = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | {"PYTHONTZPATH": str(folder), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return answer.stdout


def show(folder: Path | str, *, first: str = "import butler") -> dict[str, object]:
    found: dict[str, object] = json.loads(run(folder, "-c", f"{first}; {SHOW}"))
    assert found.pop("many")
    return found


def test_an_older_edition_of_the_system_does_not_beat_the_package(system):
    folder = system(text="# version 2020a\n# more\n")
    assert show(folder) == {"used": PACKAGE, "package": PACKAGE, "system": "2020a", "hours": 1.0}


def test_a_zone_that_only_the_system_has_does_not_disappear(system):
    folder = system(text="# version 2020a\n")
    (folder / "Europe/Stockholm").rename(folder / "Europe/Atlantis")
    show_zone = "import butler; from zoneinfo import ZoneInfo; print(ZoneInfo('Europe/Atlantis'))"
    assert run(folder, "-c", show_zone) == "Europe/Atlantis\n"


@pytest.mark.parametrize(("name", "text"), [("tzdata.zi", "# version 2999a\n"), ("+VERSION", "2999a\n")])
def test_a_newer_edition_of_the_system_is_used(system, name, text):
    folder = system(name=name, text=text)
    assert show(folder) == {"used": "2999a", "package": PACKAGE, "system": "2999a", "hours": FOREIGN_HOURS}


@pytest.mark.parametrize(("name", "text"), [("", ""), ("tzdata.zi", "# nothing\n"), ("tzdata.zi", "\udcff")])
def test_a_system_that_does_not_say_its_edition_counts_as_older(system, name, text):
    folder = system(name=name, text="")
    if name:
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    assert show(folder) == {"used": PACKAGE, "package": PACKAGE, "system": "", "hours": 1.0}


def test_a_newer_edition_without_zones_is_none(tmp_path):
    (tmp_path / "tzdata.zi").write_text("# version 2999a\n")
    assert show(tmp_path) == {"used": PACKAGE, "package": PACKAGE, "system": "", "hours": 1.0}


def test_a_newer_edition_of_few_zones_is_used_for_those(system):
    folder = system(text="# version 2999a\n")
    (folder / "UTC").unlink()
    assert show(folder)["hours"] == FOREIGN_HOURS


@pytest.mark.parametrize("folder", ["", "/nowhere"])
def test_a_system_without_zones_leaves_the_package(folder):
    assert show(folder) == {"used": PACKAGE, "package": PACKAGE, "system": "", "hours": 1.0}


@pytest.mark.parametrize(
    "first",
    [
        "import django; django.setup()",
        "import butler.wsgi",
        "from butler.celery import app; app.loader.import_default_modules()",
        "from celery.bin.celery import celery; from celery.app.utils import find_app; find_app('butler')",
    ],
    ids=["commands", "web", "beat and workers", "celery -A"],
)
def test_every_kind_of_process_uses_the_newer(system, first):
    assert show(system(text="# version 2020a\n"), first=first)["hours"] == 1.0


def test_it_is_read_before_any_zone_is(system):
    """Who has loaded a zone keeps it: an import that does so before the choice would keep the old one."""
    folder = system(text="# version 2020a\n")
    loaded = (
        "import zoneinfo; loaded = []; real = zoneinfo.ZoneInfo.__new__\n"
        "class Spy(zoneinfo.ZoneInfo):\n"
        "    def __new__(cls, key):\n"
        "        loaded.append((key, zoneinfo.TZPATH[0])); return super().__new__(cls, key)\n"
        "zoneinfo.ZoneInfo = Spy\n"
        "import django; django.setup()\n"
        f"print([key for key, first in loaded if first == {str(folder)!r}])"
    )
    assert run(folder, "-c", loaded) == "[]\n"


@pytest.mark.parametrize(
    ("older", "newer"), [("2025b", "2026a"), ("2026a", "2026b"), ("2026z", "2026za"), ("", "2020a"), ("odd", "2020a")]
)
def test_editions_follow_each_other(older, newer):
    assert zone_data._rank(older) < zone_data._rank(newer)


def test_an_edition_in_words_names_the_other_too():
    assert str(ZoneData(used="2026f", package="2026f", system="2025b")) == (
        "2026f, of the package tzdata; the system has 2025b"
    )
    assert str(ZoneData(used="2026g", package="2026f", system="2026g")) == (
        "2026g, of the system; the package tzdata has 2026f"
    )
    assert "the system has none known" in str(ZoneData(used="2026f", package="2026f", system=""))


# Two hosts


@pytest.fixture
def leader(db, redis_server) -> PlannerLease:
    """A beat of another host that leads."""
    lease = PlannerLease(holder="host/boot/1")
    assert lease.keep()
    return lease


def test_health_names_the_editions(leader, client):
    assert read_vitals().status == "ok"
    body = client.get("/v4/health").json()
    assert body["timeZoneData"]["used"] == body["leader"]["timeZoneData"] == read_vitals().zone_data.used
    assert body["timeZoneData"]["package"] == PACKAGE


def test_a_beat_with_another_edition_is_a_problem(leader):
    Lease.objects.update(zone_data="2020a")
    (problem,) = read_vitals().problems
    assert problem.startswith("Beat computes with the time zones of 2020a, and this process with those of 20")
    assert "Install the same version of the package tzdata on every host" in problem


@pytest.mark.parametrize(("theirs", "ours"), [("", "2026f"), ("2026f", "")])
def test_an_edition_that_is_not_known_is_no_problem(leader, monkeypatch, theirs, ours):
    Lease.objects.update(zone_data=theirs)
    found = replace(read_vitals().zone_data, used=ours)
    monkeypatch.setattr(vitals, "use_newest", lambda: found)
    assert read_vitals().problems == []


def test_a_standby_with_another_edition_says_so_once(leader, monkeypatch, caplog):
    monkeypatch.setattr(lease_module, "use_newest", lambda: ZoneData(used="2020a", package="2020a", system=""))
    standby = PlannerLease(holder="other/boot/1")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not standby.keep()
    (record,) = caplog.records
    assert "this beat would with those of 2020a" in record.getMessage()
