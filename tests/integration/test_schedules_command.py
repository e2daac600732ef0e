"""`manage.py schedules`: files in and out, and schedules started and stopped by hand."""

from __future__ import annotations

import getpass
import io
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from schedules import services
from schedules.imports import carry_out, plan_import
from schedules.models import Schedule, ScheduleChange
from schedules.yaml_io import ScheduleFileError, read_entries
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.api_calls import add

pytestmark = pytest.mark.django_db

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples" / "schedules.yaml"


class Outcome:
    """What a call of the command printed, and the refusal with which it ended."""

    def __init__(self, *arguments: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        self.refusal = ""
        try:
            call_command("schedules", *arguments, stdout=out, stderr=err)
        except CommandError as error:
            self.refusal = str(error)
        self.out, self.err = out.getvalue(), err.getvalue()
        # Django prints the name of the error's class before its text; an export is no text for a terminal
        shown = "" if arguments == ("export",) else self.out
        lines = "\n".join([shown, self.err, f"CommandError: {self.refusal}"]).splitlines()
        assert [line for line in lines if len(line) > 80] == []


def schedules(*arguments: str) -> Outcome:
    return Outcome(*arguments)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file of the given schedules, each as lines, and returns its path."""

    def write_file(*entries: str, name: str = "file.yaml") -> str:
        lines = ["butlerSchedule:"]
        for entry in entries:
            first, *others = entry.splitlines()
            lines += [f"  - {first}", *(f"    {line}" for line in others)]
        path = tmp_path / name
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return str(path)

    return write_file


def entry(public_id: str, **values: str) -> str:
    given = {
        "name": "Hourly",
        "cronSchedule": "'@hourly'",
        "timezone": "UTC",
        "qlikSenseTaskId": TASK_ID,
        "startupState": "started",
        "id": public_id,
    }
    return "\n".join(f"{key}: {value}" for key, value in (given | values).items() if value)


def table() -> list[tuple[object, ...]]:
    return list(Schedule.objects.values_list("name", "title", "cron_schedule", "timezone", "tags", "enabled"))


def test_the_examples_are_imported_and_said_to_be():
    outcome = schedules("import", str(EXAMPLES))

    assert outcome.out.splitlines()[:2] == ["+ task-1  Every 30 sec", "+ task-2  Every 2 hours"]
    assert outcome.out.endswith("\nImported: 3 new, 0 changed, 0 unchanged.\n")
    assert (outcome.err, outcome.refusal) == ("", "")
    assert table()[0] == (
        "task-1",
        "Every 30 sec",
        "*/30 * * * * *",
        "Europe/Stockholm",
        ["Sales", "abc 123 åäö", "Transform"],
        True,
    )


def test_the_examples_come_out_as_they_went_in(tmp_path):
    schedules("import", str(EXAMPLES))

    assert schedules("export").out == EXAMPLES.read_text(encoding="utf-8")
    assert schedules("export", str(tmp_path / "out.yaml")).out.startswith("Exported 3 schedules to")
    assert (tmp_path / "out.yaml").read_bytes() == EXAMPLES.read_bytes()


def test_what_the_documentation_types_works(tmp_path, monkeypatch):
    text = (DOCS / "reference" / "yaml.md").read_text(encoding="utf-8")
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)

    commands = re.findall(r"^python manage.py schedules (.+)$", text, re.MULTILINE)

    assert [command.split()[0] for command in commands] == ["import", "export", "list", "show", "stop", "start"]
    assert [schedules(*command.split()).refusal for command in commands] == [""] * 6
    assert EXAMPLES.read_text(encoding="utf-8").startswith(text.split("```yaml\n")[1].split("```")[0])


def test_export_import_export_is_the_same_to_the_byte(make_schedule, tmp_path):
    make_schedule(title="å 'quoted'\nand \"more\": #", tags=["yes", "17", "", "åäö"], startup_state="stop")
    stopped = make_schedule(cron_schedule="0 6 1 3 *")
    services.stop_schedules([stopped.name], origin=ORIGIN)
    add("123")
    before, rows = schedules("export").out, table()
    services.delete_schedules([row[0] for row in rows], origin=ORIGIN)
    file = tmp_path / "all.yaml"
    file.write_text(before, encoding="utf-8")

    outcome = schedules("import", str(file), "--months", "1-12")

    assert outcome.refusal == outcome.err == ""
    assert table() == rows
    assert schedules("export").out == before
    assert before.count("created: '") == 2


def test_no_schedules_are_exported_as_an_empty_list():
    assert schedules("export").out == "butlerSchedule: []\n"


def test_a_state_that_the_file_does_not_have_is_the_startup_state(write):
    schedules("import", write(entry("a"), entry("b", startupState="stop"), entry("c", lastKnownState="stopped")))

    assert [(row[0], row[-1]) for row in table()] == [("a", True), ("b", False), ("c", False)]


def test_a_dry_run_shows_all_that_would_change_and_writes_nothing(write):
    schedules("import", write(entry("same"), entry("other", tags="[a, b]")))
    before = table()
    file = write(
        entry("same"), entry("other", cronSchedule="'@daily'", lastKnownState="stopped"), entry("new", name="New one")
    )

    outcome = schedules("import", file, "--replace", "--dry-run")

    assert outcome.out.splitlines() == [
        "+ new  New one",
        "~ other  Hourly",
        "    cronSchedule: @hourly",
        "               -> @daily",
        "    tags: a, b",
        "       -> none",
        "    lastKnownState: started",
        "                 -> stopped",
        "= same  Hourly",
        "A dry run, nothing was written: 1 new, 1 changed, 1 unchanged.",
    ]
    assert table() == before


def test_a_dry_run_makes_no_query_that_writes(write):
    file = write(entry("a"))

    with CaptureQueriesContext(connection) as queries:
        schedules("import", file, "--dry-run")

    assert queries
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}


def test_a_long_import_is_told_in_a_page_and_its_dry_run_in_full(write):
    file = write(*[entry(f"task-{number}") for number in range(30)])

    assert len(schedules("import", file, "--dry-run").out.splitlines()) == 31
    assert schedules("import", file).out.splitlines()[19:] == [
        "+ task-19  Hourly",
        "... and 10 more",
        "Imported: 30 new, 0 changed, 0 unchanged.",
    ]


def test_the_same_file_twice_changes_nothing():
    schedules("import", str(EXAMPLES))
    changes = ScheduleChange.objects.count()

    outcome = schedules("import", str(EXAMPLES))

    assert outcome.out.endswith("0 new, 0 changed, 3 unchanged.\n")
    assert ScheduleChange.objects.count() == changes


def test_when_it_was_created_makes_no_difference_to_one_that_exists(write, make_schedule):
    schedules("import", write(entry("a", created="2020-10-15T05:31:16.123Z")))

    assert "0 changed, 1 unchanged" in schedules("import", write(entry("a"))).out
    assert "created: '2020-10-15T05:31:16.123Z'" in schedules("export").out


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_an_id_with_other_values_is_not_overwritten_unasked(write, option):
    schedules("import", write(entry("a")))
    before = table()

    outcome = schedules("import", write(entry("new"), entry("a", timezone="Asia/Tokyo")), *option)

    assert "--replace changes them. Nothing was written." in " ".join(outcome.refusal.split())
    assert "    timezone: UTC\n           -> Asia/Tokyo\n" in outcome.out
    assert table() == before


def test_replace_makes_schedules_what_the_file_has_and_leaves_the_others(write):
    schedules("import", write(entry("a"), entry("b", lastKnownState="stopped"), entry("c"), entry("d")))
    file = write(
        entry("a", name="Daily", cronSchedule="'@daily'", tags="[å]", startupState="stop", lastKnownState="stopped"),
        entry("b", lastKnownState="started"),
        entry("c"),
    )

    outcome = schedules("import", file, "--replace")

    assert outcome.out.endswith("0 new, 2 changed, 1 unchanged.\n")
    assert table() == [
        ("a", "Daily", "@daily", "UTC", ["å"], False),
        ("b", "Hourly", "@hourly", "UTC", [], True),
        ("c", "Hourly", "@hourly", "UTC", [], True),
        ("d", "Hourly", "@hourly", "UTC", [], True),
    ]
    changes = ScheduleChange.objects.order_by("pk").values_list("schedule_name", "action", "source")
    assert list(changes[4:]) == [("a", "edit", "command"), ("b", "start", "command"), ("a", "stop", "command")]


def test_an_import_is_recorded_with_the_person_behind_it(write, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    schedules("import", write(entry("a")))

    assert (ScheduleChange.objects.get().source, ScheduleChange.objects.get().actor) == ("command", "ada")


def test_a_user_without_a_name_may_import_too(write, monkeypatch):
    def fail() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", fail)

    assert schedules("import", write(entry("a"))).refusal == ""


def test_all_that_is_wrong_is_told_at_once_with_its_place(write):
    file = write(
        entry("a", cronSchedule="61 * * * *", timezone="Mars"),
        entry("17"),
        entry("", name="Without an id"),
        entry("a"),
        entry("e", qlikSenseTaskId="", timeZone="UTC"),
        entry("start"),
        "just a text",
    )

    refusal = " ".join(schedules("import", file).refusal.split())

    for part in [
        "Nothing was written.",
        "entry 1 (line 2, id 'a'): cronSchedule: minute '61' is out of range",
        "entry 1 (line 2, id 'a'): timezone: 'Mars' is not a time zone",
        "entry 2 (line 8): id: 17 is a number in YAML, and a text is wanted. Put it in quotes: '17'.",
        "entry 3 (line 14): id: This field is missing.",
        "entry 4 (line 19, id 'a'): id: Entry 1 (line 2) has this id, too.",
        "entry 5 (line 25, id 'e'): qlikSenseTaskId: This field is missing.",
        "entry 5 (line 25, id 'e'): timeZone: 'timeZone' is not a field of a schedule. Did you mean timezone?",
        "entry 6 (line 31, id 'start'): id: 'start' cannot be an id",
        "entry 7 (line 37): This is no schedule.",
    ]:
        assert part in refusal
    assert "entry 2 (line 8): id: This field is missing" not in refusal
    assert "entry 7 (line 37): name" not in refusal
    assert table() == []


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("lastKnownState", "asleep", "'asleep' is not a state. Write started or stopped."),
        ("created", "yesterday", "'yesterday' is no instant. Write it as 2020-10-15T05:31:16.123Z."),
        ("created", "2020-10-15T05:31:16", "is no instant"),
        ("created", "0001-01-01T00:00:00+14:00", "is no instant"),
        ("tags", "Sales", "'Sales' is not a list of texts"),
        ("name", "[a, b]", '["a", "b"] is not a text'),
        ("id", "' a'", "' a' cannot be an id"),
        ("name", '"\\ud83d"', "The text has the character U+D83D, which cannot be stored. Leave it out."),
        ("tags", '["\\ude00\\ud83d"]', "has the character U+DE00, which cannot be stored"),
        ("timezone", "localtime", "'localtime' is not a time zone"),
        ("timezone", "Factory", "'Factory' is not a time zone"),
        ("id", "a/stop", "its end has a meaning of its own"),
        ("id", "'.'", "clients take the dots for a way to another address"),
        ("id", "a/..", "clients take the dots for a way to another address"),
        ("id", "'%2e'", "clients take the dots for a way to another address"),
        ("id", '"a\\x07b"', "cannot be an id"),
    ],
)
def test_a_value_that_only_a_file_has_is_checked_too(write, field, value, part):
    assert part in " ".join(schedules("import", write(entry("a", **{field: value}))).refusal.split())
    assert table() == []


def test_an_id_that_a_task_of_the_service_has_is_refused(write):
    every = IntervalSchedule.objects.create(every=10, period="seconds")
    PeriodicTask.objects.create(name="butler: sweep runs", task="x", interval=every)

    refusal = schedules("import", write(entry("'butler: sweep runs'"))).refusal

    assert "the name of a task of the service itself" in " ".join(refusal.split())


def test_a_file_with_many_mistakes_is_told_in_a_page(write):
    refusal = schedules("import", write(*[entry(str(number)) for number in range(100)])).refusal

    assert refusal.endswith("\n... and 80 more")
    assert len(refusal.splitlines()) < 80


def test_a_broken_file_changes_nothing_not_even_with_a_schedule_created_after_it(client, tmp_path):
    """Butler starts without schedules then, and the next change overwrites the file with what is left."""
    schedules("import", str(EXAMPLES))
    broken = tmp_path / "broken.yaml"
    broken.write_text("butlerSchedule:\n  - name: 'a\n", encoding="utf-8")

    refusal = schedules("import", str(broken), "--replace").refusal
    body = {
        "name": "b",
        "cronSchedule": "@daily",
        "timezone": "UTC",
        "qlikSenseTaskId": TASK_ID,
        "startupState": "stop",
    }
    client.post("/v4/schedules", body, content_type="application/json")

    assert "line 3, column 1" in refusal
    assert len(table()) == 4


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"\xff\xfeb\0", "not UTF-8: byte 0xff at position 0"), (b"butlerSchedule: \xe5", "byte 0xe5 at position 16")],
)
def test_a_file_that_is_not_utf_8_is_refused(tmp_path, content, part):
    file = tmp_path / "file.yaml"
    file.write_bytes(content)

    assert part in " ".join(schedules("import", str(file)).refusal.split())


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + EXAMPLES.read_bytes().replace(b"\n", b"\r\n"))

    assert "3 new" in schedules("import", str(file)).out
    assert schedules("export").out == EXAMPLES.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    missing = str(tmp_path / "missing.yaml")

    assert "cannot be read: No such file or directory" in " ".join(schedules("import", missing).refusal.split())
    assert "cannot be written: Is a directory" in " ".join(schedules("export", str(tmp_path)).refusal.split())


def test_schedules_that_changed_since_the_comparison_are_left_alone(write):
    schedules("import", write(entry("a")))
    text = Path(write(entry("a", name="Other"), entry("new"))).read_text()
    plan = plan_import(read_entries(text))
    add("new")
    before = table()

    with pytest.raises(ScheduleFileError, match="Somebody else"):
        carry_out(plan, origin=ORIGIN)

    assert table() == before


def test_a_schedule_that_vanished_since_the_comparison_stays_away(write):
    schedules("import", write(entry("a")))
    plan = plan_import(read_entries(Path(write(entry("a", name="Other"), entry("b"))).read_text()))
    services.delete_schedules(["a"], origin=ORIGIN)

    with pytest.raises(ScheduleFileError, match="Somebody else"):
        carry_out(plan, origin=ORIGIN)

    assert table() == []


def test_months_as_numbers_are_pointed_out_one_by_one(write):
    file = write(entry("a", cronSchedule="0 6 1 3 *"), entry("b"), entry("c", cronSchedule="0 6 1 jan-mar,9 *"))

    outcome = schedules("import", file)

    warned = outcome.err.splitlines()
    assert "  entry 1 (line 2, id 'a'): 0 6 1 3 *" in warned
    assert "  entry 3 (line 14, id 'c'): 0 6 1 jan-mar,9 *" in warned
    assert "--months 0-11" in outcome.err
    assert "'b'" not in outcome.err
    assert [row[2] for row in table()] == ["0 6 1 3 *", "@hourly", "0 6 1 jan-mar,9 *"]


def test_ten_schedules_with_months_as_numbers_are_named_and_the_others_counted(write):
    outcome = schedules("import", write(*(entry(f"s{n}", cronSchedule="0 6 1 3 *") for n in range(25))))

    assert outcome.err.count("0 6 1 3 *") == 10
    assert "... and 15 more" in outcome.err
    assert "--months 0-11" in outcome.err


def test_butlers_months_are_rewritten_without_a_word(write):
    file = write(entry("a", cronSchedule="0 6 1 0,11 *"), entry("c", cronSchedule="0 6 1 jan-mar,8 *"))

    outcome = schedules("import", file, "--months", "0-11")

    assert outcome.err == ""
    assert [row[2] for row in table()] == ["0 6 1 1,12 *", "0 6 1 jan-mar,9 *"]


def test_a_month_that_butler_does_not_have_is_refused(write):
    refusal = schedules("import", write(entry("a", cronSchedule="0 6 1 12 *")), "--months", "0-11").refusal

    assert "Month 12 of '0 6 1 12 *' is not among 0 to 11." in " ".join(refusal.split())
    assert table() == []


def test_the_list_shows_state_id_times_and_name():
    schedules("import", str(EXAMPLES))
    services.stop_schedules(["task-2"], origin=ORIGIN)

    assert schedules("list").out.splitlines() == [
        "started  task-1  */30 * * * * *  Europe/Stockholm",
        "         Every 30 sec",
        "stopped  task-2  0 */2 * * *  Europe/London",
        "         Every 2 hours",
        "started  Manually-added-schedule-1  0-30/5 6-18 * * 1-5  Europe/Paris",
        "         Every 5th minute from 0 through 30 past every hour from 6 through 18...",
    ]


def test_long_ids_and_control_characters_do_not_disturb_the_list():
    add("x" * 200, title="\x1b[31mred\x07")

    out = schedules("list").out

    assert "".join(out.split()).startswith("started" + "x" * 200)
    assert "?[31mred?" in out


def test_no_schedules_are_listed_as_such():
    assert schedules("list").out == "There are no schedules.\n"


def test_some_are_stopped_and_started():
    for public_id in ("a", "b", "c"):
        add(public_id)

    assert schedules("stop", "a", "c").out.splitlines()[::2] == ["stopped  a  @hourly  UTC", "stopped  c  @hourly  UTC"]
    assert [row[-1] for row in table()] == [False, True, False]
    assert schedules("start", "c").out.splitlines()[0] == "started  c  @hourly  UTC"
    assert [row[-1] for row in table()] == [False, True, True]


def test_all_are_stopped_and_started():
    add("a")
    add("b")

    schedules("stop", "--all")
    assert [row[-1] for row in table()] == [False, False]
    schedules("start", "--all")
    assert [row[-1] for row in table()] == [True, True]


@pytest.mark.parametrize("arguments", [("stop",), ("start",), ("stop", "a", "--all")])
def test_whom_to_stop_or_start_must_be_said_once(arguments):
    add("a")

    assert "--all for all of them" in schedules(*arguments).refusal
    assert [row[-1] for row in table()] == [True]


def test_an_unknown_id_stops_nobody():
    add("a")

    assert "There is no schedule with the id 'b'." in schedules("stop", "a", "b").refusal
    assert [row[-1] for row in table()] == [True]


def test_a_database_that_is_not_there_is_told_as_such():
    def refuse(*args: object) -> None:
        raise OperationalError("no such table: schedules_schedule")

    with connection.execute_wrapper(refuse):
        refusal = schedules("list").refusal

    assert "no such table" in refusal
    assert "make run" in refusal
