"""The schedule file that is written, and that it is read as it was meant."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.yaml_io import read_entries, write_entries

KEYS = [
    "created",
    "name",
    "cronSchedule",
    "timezone",
    "qlikSenseTaskId",
    "startupState",
    "tags",
    "id",
    "lastKnownState",
]

#: What another reader of YAML makes something else of, or stumbles over
AWKWARD = [
    *("", " ", " a", "a ", "a  b", "a\nb", "a\n", "\ta", "yes", "No", "y", "null", "~", "true"),
    *("17", "-1", "1e3", "0x1F", "0o17", "1_0", "12:30", ".5", ".inf", "2020-10-15", "=", "<<"),
    *("- a", "a: b", "a:", "a #b", "#a", "'", '"', "[a]", "{a}", "a,b", "*a", "&a", "!a", "|", ">"),
    *("%a", "@a", "`a", "?", "-", "...", "---", "\\", "\u2028", "\x85", "\ufeff", "\x07", "\x7f", "\xa0"),
    *("😀", "\U0010ffff", "\ufffd"),
]

texts = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
schedules = st.dictionaries(st.sampled_from(KEYS[:6]), texts).flatmap(
    lambda values: st.lists(texts).map(lambda tags: values | {"tags": tags})
)


def test_a_file_is_written_as_butlers_documentation_shows_it():
    schedule = {
        "created": "2020-10-15T05:31:16.123Z",
        "name": "Every 30 sec",
        "cronSchedule": "*/30 * * * * *",
        "timezone": "Europe/Stockholm",
        "qlikSenseTaskId": "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
        "startupState": "started",
        "tags": ["Sales", "abc 123 åäö", "Transform"],
        "id": "task-1",
        "lastKnownState": "started",
    }

    assert (
        write_entries([schedule, {"id": "task-2"}])
        == """\
butlerSchedule:
  - created: '2020-10-15T05:31:16.123Z'
    name: Every 30 sec
    cronSchedule: '*/30 * * * * *'
    timezone: Europe/Stockholm
    qlikSenseTaskId: 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b
    startupState: started
    tags: [Sales, 'abc 123 åäö', Transform]
    id: task-1
    lastKnownState: started
  - id: task-2
"""
    )


def test_no_schedules_are_an_empty_list():
    assert write_entries([]) == "butlerSchedule: []\n"


def test_a_long_text_stays_on_its_line():
    assert f"  - name: {'word ' * 200}word\n" in write_entries([{"name": "word " * 200 + "word"}])


def test_awkward_texts_survive_and_are_texts_to_every_reader():
    text = write_entries([{"name": name, "tags": AWKWARD} for name in AWKWARD])

    assert [entry.values["name"] for entry in read_entries(text)] == AWKWARD
    assert [schedule["name"] for schedule in yaml.safe_load(text)["butlerSchedule"]] == AWKWARD
    assert {tuple(schedule["tags"]) for schedule in yaml.safe_load(text)["butlerSchedule"]} == {tuple(AWKWARD)}


@settings(deadline=None)
@given(st.lists(schedules))
def test_what_is_written_is_read_the_same_and_written_the_same(given_schedules):
    text = write_entries(given_schedules)

    entries = read_entries(text)

    assert [(entry.values, entry.problems) for entry in entries] == [(schedule, {}) for schedule in given_schedules]
    assert write_entries([entry.values for entry in entries]) == text


@given(st.integers(0, 10**15) | st.integers(0, 10**11).map(lambda microseconds: microseconds / 10**6))
def test_a_number_is_read_as_it_was_written_here_and_by_others(number):
    text = write_entries([{"id": "a", "jitter": number}])

    (entry,) = read_entries(text)
    (other,) = yaml.safe_load(text)["butlerSchedule"]
    assert (entry.values["jitter"], other["jitter"]) == (number, number)
    assert "'" not in text
