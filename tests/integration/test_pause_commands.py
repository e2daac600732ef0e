"""`manage.py schedules`: pauses and maintenance from the command line, and in files."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from schedules import services
from schedules.imports import plan_import
from schedules.models import Maintenance, Schedule, ScheduleChange
from schedules.yaml_io import read_entries
from tests.conftest import ORIGIN
from tests.integration.api_calls import add
from tests.integration.test_schedules_command import DOCS, entry, schedules, write

pytestmark = pytest.mark.django_db

__all__ = ["write"]

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMITS = {
    "misfire": "skip",
    "misfireGrace": "90",
    "startsAt": "'2026-12-01T00:00:00.000Z'",
    "endsAt": "'2027-01-01T00:00:00.000Z'",
    "maxRuns": "10",
    "jitter": "12.5",
    "excludedDates": "['2026-12-24', '2026-12-31/2027-01-01']",
}


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.mark.parametrize("until", ["2026-11-24T12:00", "2026-11-24T13:00+01:00", "2026-11-24 12:00:00Z"])
def test_some_are_paused_until_a_moment_that_is_utc_unless_it_says_otherwise(until):
    add("a"), add("b")

    outcome = schedules("pause", "a", "--until", until, "--reason", "New disks")

    assert outcome.out.splitlines() == [
        "started  a  @hourly  UTC",
        "         Hourly",
        "         Paused until 2026-11-24 12:00:00 UTC: New disks.",
    ]
    assert [s.paused_until for s in Schedule.objects.all()] == [NOON, None]


def test_all_are_paused_and_resumed():
    add("a"), add("b", enabled=True)

    assert schedules("pause", "--all", "--until", "2026-11-24T12:00").out.count("Paused until") == 2
    assert schedules("list").out.count("Paused until 2026-11-24 12:00:00 UTC.") == 2
    assert "Paused" not in schedules("resume", "--all").out
    assert not Schedule.objects.exclude(paused_until=None).exists()
    changes = ScheduleChange.objects.filter(action__in=["pause", "resume"])
    assert set(changes.values_list("action", "source")) == {("pause", "command"), ("resume", "command")}


def test_a_long_reason_is_wrapped_beneath_its_schedule():
    add("a")

    lines = schedules("pause", "a", "--until", "2026-11-24T12:00", "--reason", "word " * 35).out.splitlines()

    assert len(lines) > 4
    assert all(line.startswith(" " * 9) for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["pause", "a", "--until", "soon"], ["--until: 'soon' is no moment. Write 2026-12-01T06:00 for UTC"]),
        (["pause", "a", "--until", "9999-12-31T23:00-23:00"], ["is no moment"]),
        (["pause", "a", "--until", "2099-12-01x06:00"], ["is no moment"]),
        (["pause", "a", "--until", "2026-11-24"], ["--until: 2026-11-24 00:00:00 UTC has passed, it is"]),
        (["pause", "a", "--until", "2027-01-01", "--reason", "a\nb"], ["--reason: 'a\\nb' cannot be the reason."]),
        (["pause", "x", "--until", "2027-01-01"], ["'x'"]),
        (["resume", "x"], ["'x'"]),
        (["pause", "--until", "2027-01-01"], ["Give the ids of the schedules, or --all"]),
        (["maintenance", "begin", "--until", "2020-01-01"], ["--until: 2020-01-01 00:00:00 UTC has passed"]),
        (["pause", "a"], ["--until"]),
    ],
)
def test_what_is_refused_changes_nothing_and_says_why(arguments, parts):
    add("a")

    refusal = " ".join(schedules(*arguments).refusal.split())

    for part in parts:
        assert part in refusal
    assert Schedule.objects.get().paused_until is None
    assert not Maintenance.objects.exists()


def test_a_maintenance_is_begun_shown_and_ended():
    assert schedules("maintenance", "show").out == "The site is not in maintenance.\n"

    outcome = schedules("maintenance", "begin", "--until", "2026-11-24T12:00", "--reason", "New disks")
    assert " ".join(outcome.out.split()) == (
        "The site is in maintenance since 2026-11-24 10:00:00 UTC until 2026-11-24 12:00:00 UTC: New disks. "
        "`schedules maintenance end` ends it."
    )
    assert "New disks" in schedules("maintenance", "show").out
    assert Maintenance.current_at(NOW) is not None

    refusal = " ".join(schedules("maintenance", "begin").refusal.split())
    assert refusal.endswith("New disks. End it before you begin another one. Nothing was changed.")

    assert schedules("maintenance", "end").out == "The maintenance has ended.\n"
    assert schedules("maintenance", "end").out == "The site was not in maintenance.\n"
    assert Maintenance.current_at(NOW) is None


def test_what_the_documentation_types_works():
    text = (DOCS / "how-to" / "pauses.md").read_text(encoding="utf-8")
    add("task-1"), add("task-2")

    commands = re.findall(r"^python manage.py schedules (.+)$", text, re.MULTILINE)

    assert len(commands) >= 5
    for command in commands:
        arguments = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', command)]
        assert schedules(*arguments).refusal == ""


def test_limits_and_a_pause_are_written_after_the_tags_and_read_back_to_the_byte(write):
    pause = {"pausedUntil": "'2026-11-24T12:00:00.000Z'", "pauseReason": "New disks"}
    schedules("import", write(entry("a", **LIMITS, **pause), entry("b")))
    stored = Schedule.objects.get(name="a")
    assert (stored.misfire_grace, stored.max_runs, stored.jitter) == (
        timedelta(seconds=90),
        10,
        timedelta(seconds=12.5),
    )
    assert (stored.paused_until, stored.pause_reason) == (NOON, "New disks")

    before = schedules("export").out
    keys = re.findall(r"^ +(?:- )?(\w+): ", before.split("name: Hourly")[1], re.MULTILINE)
    assert keys[4:] == [*LIMITS, "id", "lastKnownState", *pause]
    for key, value in LIMITS.items():
        assert f"    {key}: {value}\n" in before
    assert "misfire" not in before.split("id: b")[0].split("name: Hourly")[2]

    services.delete_schedules(["a", "b"], origin=ORIGIN)
    file = write(*[part.rstrip().replace("\n    ", "\n") for part in before.split("\n  - ")[1:]], name="again.yaml")
    assert schedules("import", file).refusal == ""
    assert schedules("export").out == before


def test_a_pause_that_is_over_is_in_no_file(clock):
    add("a")
    before = schedules("export").out
    schedules("pause", "a", "--until", "2026-11-24T12:00")
    assert schedules("export").out != before

    clock.move_to(NOON + timedelta(seconds=1))

    assert schedules("export").out == before


def test_numbers_and_dates_need_no_quotes(write):
    outcome = schedules("import", write(entry("a", startsAt="2026-12-01T00:00:00Z", excludedDates="[2026-12-24]")))

    assert outcome.refusal == ""
    assert Schedule.objects.get().excluded_dates == ["2026-12-24"]


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("maxRuns", "'10'", "'10' is not a whole number. Give one such as 10, without quotes."),
        ("maxRuns", "1.5", "1.5 is not a whole number"),
        ("maxRuns", "ten", "'ten' is not a whole number"),
        ("jitter", "0x10", "0x10 is not a number in plain digits. Write one such as 30 or 0.5."),
        ("jitter", "010", "010 is not a number in plain digits"),
        ("jitter", "1:30", "1:30 is not a number in plain digits"),
        ("jitter", "true", "true is true or false in YAML"),
        ("misfireGrace", "[60]", '["60"] is not a number of seconds'),
        ("startsAt", "2026-12-01", "'2026-12-01' is no instant"),
        ("startsAt", "2026-12-01x06:00:00Z", "'2026-12-01x06:00:00Z' is no instant"),
        ("endsAt", "20", "20 is a number in YAML, and a text is wanted"),
        ("excludedDates", "[20261224]", "20261224 is a number in YAML"),
        ("excludedDates", "[24.12.]", "'24.12.' is not a date."),
        ("pauseReason", '"a\\nb"', "cannot be the reason"),
    ],
)
def test_a_limit_in_a_file_that_breaks_a_rule_is_refused_with_its_place(write, field, value, part):
    refusal = " ".join(schedules("import", write(entry("a", **{field: value}))).refusal.split())

    assert f"entry 1 (line 2, id 'a'): {field}: " in refusal
    assert part in refusal


def test_an_end_before_the_beginning_is_refused_with_its_place(write):
    file = write(entry("a", startsAt="2026-12-02T00:00:00Z", endsAt="2026-12-01T00:00:00Z"))

    refusal = " ".join(schedules("import", file).refusal.split())

    assert "entry 1 (line 2, id 'a'): endsAt: The end, 2026-12-01 00:00:00 UTC, is not later than" in refusal


def test_replace_gives_and_takes_limits_and_pauses(write):
    pause = {"pausedUntil": "'2026-11-24T12:00:00.000Z'", "pauseReason": "New disks"}
    schedules("import", write(entry("a", **LIMITS), entry("b", **pause)))
    file = write(entry("a", **pause), entry("b", maxRuns="3"))

    assert "--replace changes them" in " ".join(schedules("import", file).refusal.split())
    outcome = schedules("import", file, "--replace")

    assert outcome.refusal == ""
    assert "    maxRuns: 10\n          -> none\n" in outcome.out
    assert "    pausedUntil: none\n              -> 2026-11-24T12:00:00.000Z\n" in outcome.out
    rows = Schedule.objects.values_list("max_runs", "misfire", "starts_at", "excluded_dates", "paused_until")
    assert list(rows) == [(None, "once", None, [], NOON), (3, "once", None, [], None)]
    assert not plan_import(read_entries(schedules("export").out)).changed
