"""What a schedule file says, and where it is wrong."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.yaml_io import Entry, ScheduleFileError, read_entries

HEAD = "butlerSchedule:\n"


def read_one(*lines: str) -> Entry:
    (entry,) = read_entries(HEAD + "  - " + "\n    ".join(lines))
    return entry


def refusal(text: str) -> str:
    with pytest.raises(ScheduleFileError) as error:
        read_entries(text)
    (problem,) = error.value.problems
    return problem


def test_texts_and_lists_of_texts_are_read_in_their_order():
    text = HEAD + "  - name: Every 30 sec\n    tags: [Sales, 'abc 123 åäö']\n  - id: b\n"

    first, second = read_entries(text)

    assert first == Entry(1, 2, {"name": "Every 30 sec", "tags": ["Sales", "abc 123 åäö"]})
    assert second == Entry(2, 4, {"id": "b"})
    assert (first.place, second.place) == ("entry 1 (line 2)", "entry 2 (line 4, id 'b')")


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "  - name: >-\n      two\n      words\n    tags:\n      - a\n      - b\n",
        "butlerSchedule: [{name: two words, tags: [a, b]}]",
        '{"butlerSchedule": [{"name": "two words", "tags": ["a", "b"]}]}',
        "# a comment\n---\nbutlerSchedule:\n- tags: [a, b]\n  name: 'two words' # another\n...\n",
        (HEAD + "  - name: two words\n    tags: [a, b]\n").replace("\n", "\r\n"),
        "\ufeff" + HEAD + "  - name: two words\n    tags: [a, b]\n",
    ],
)
def test_the_ways_to_write_it_are_all_one(text):
    (entry,) = read_entries(text)

    assert (entry.values, entry.problems) == ({"name": "two words", "tags": ["a", "b"]}, {})


@pytest.mark.parametrize("text", ["butlerSchedule:", "butlerSchedule: []", "butlerSchedule: ~\n"])
def test_a_file_may_have_no_schedules(text):
    assert read_entries(text) == []


@pytest.mark.parametrize("word", ["yes", "No", "on", "Off", "y", "N"])
def test_words_of_the_older_yaml_are_texts_as_they_are_in_butler(word):
    assert read_one(f"name: {word}").values == {"name": word}


@pytest.mark.parametrize(
    "text",
    ["0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b", "00000000-0000-0000-0000-000000000000", "12 apples", "1.2.3", "2020-10"],
)
def test_what_only_begins_like_a_number_is_a_text(text):
    assert read_one(f"id: {text}").values == {"id": text}


@pytest.mark.parametrize(
    "number",
    ["17", "-1", "+2", "0", "007", "0x1F", "0o17", "0b1", "1_000", "3.14", ".5", "1.", "1e3", "12:30", ".inf", ".nan"],
)
def test_a_number_is_reported_with_its_cure(number):
    entry = read_one(f"id: {number}")

    assert entry.values == {}
    assert entry.problems == {
        "id": f"{number} is a number in YAML, and a text is wanted. Put it in quotes: '{number}'."
    }
    assert read_one(f"id: '{number}'").values == {"id": number}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("true", "true or false"),
        ("False", "true or false"),
        ("2020-10-15", "a date"),
        ("2020-1-5 6:00:00 +1", "a date"),
    ],
)
def test_what_yaml_makes_no_text_of_is_reported(value, kind):
    assert f"{value} is {kind} in YAML" in read_one(f"name: {value}").problems["name"]


def test_the_instant_of_creation_needs_no_quotes():
    assert read_one("created: 2020-10-15T05:31:16.123Z").values == {"created": "2020-10-15T05:31:16.123Z"}


@pytest.mark.parametrize("nothing", ["", "~", "null"])
def test_a_key_without_a_value_is_a_key_left_out(nothing):
    assert read_one(f"tags: {nothing}", "id: a") == Entry(1, 2, {"id": "a"})


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('"a\\uD83D\\uDE00\\ud83d\\ude01b"', "a😀😁b"),
        ('"\\ud83d\\\n      \\ude00"', "😀"),
        ('"\\U0001F600"', "😀"),
        ('"\\ufeff\\ud83d\\ude00"', "\ufeff😀"),
        ('"\\ud83d"', "\ud83d"),
        ('"\\ude00\\ud83d"', "\ude00\ud83d"),
        ('"\\ud83d \\ude00"', "\ud83d \ude00"),
        ("'\\ud83d\\ude00'", r"\ud83d\ude00"),
    ],
)
def test_the_halves_in_which_json_escapes_a_character_are_joined(written, text):
    """A half alone is left for the rules of texts to refuse."""
    assert read_one(f"name: {written}", f"tags: [{written}]").values == {"name": text, "tags": [text]}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{a: b}", "A text is wanted here, not a mapping."),
        ("[a, [b]]", "An item is no text."),
        ("[a, {b: c}]", "An item is no text."),
        ("[a, ~]", "An item has no value."),
        ("[1, b, true]", "1 is a number in YAML"),
        ("[1, b, true]", "true is true or false in YAML"),
        ("!!binary aGVq", "'tag:yaml.org,2002:binary' is a type of YAML's own"),
        ("!python/object:os.system x", "is a type of YAML's own"),
    ],
)
def test_a_structure_where_a_text_belongs_is_reported(value, problem):
    assert problem in read_one(f"tags: {value}").problems["tags"]


def test_all_that_is_wrong_is_reported_at_once():
    entry = read_one("id: 1", "name: {}", "tags: [2]", "timezone: UTC")

    assert list(entry.problems) == ["id", "name", "tags"]
    assert entry.values == {"timezone": "UTC"}


def test_a_key_that_is_there_twice_is_reported():
    assert "there twice" in read_one("name: a", "name: b").problems["name"]


def test_an_id_that_is_there_twice_is_reported_with_the_place_of_the_first():
    first, second, third = read_entries(HEAD + "  - id: a\n  - id: 'a'\n  - id: A\n")

    assert first.problems == third.problems == {}
    assert second.problems == {"id": "Entry 1 (line 2) has this id, too. Give each schedule its own."}


@pytest.mark.parametrize("item", ["text", "[a]", "~", "17"])
def test_an_item_that_is_no_schedule_is_reported(item):
    (entry,) = read_entries(f"{HEAD}  - {item}\n")

    assert entry == Entry(1, 2, {}, {"": "This is no schedule. Write its fields, one a line."})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEAD + "  - name: 'a\n    id: b\n", ("line 4, column 1", "quoted scalar that begins in line 2")),
        (HEAD + "  - name: a\n   id: b\n", ("line 3, column 4",)),
        (HEAD + "  - name: a: b\n", ("line 2, column 12", "mapping values are not allowed")),
        (HEAD + "  - [a, b\n", ("line 3, column 1",)),
        (HEAD + "\t- name: a\n", ("line 2, column 1", "Indent with spaces, not with tabs.")),
        (HEAD + "---\n" + HEAD, ("line 2, column 1", "found another document")),
        (HEAD + "  - id: &x a\n  - id: *x\n", ("line 3, column 9", "found an alias; write the value out")),
        (HEAD + "  - id: *x\n", ("line 2, column 9", "alias")),
        (HEAD + "  - id: a\0b\n", ("line 2", "U+0000")),
        (HEAD + "  - id: a\x1bb\n", ("line 2", "U+001B")),
        (HEAD + "  - " + "[" * 5_000, ("nested too deeply",)),
        (HEAD + '  - id: "\\UFFFFFFFF"\n', ("an escape", "quotes")),
        ("", ("is empty", "butlerSchedule:")),
        ("# nothing but a comment\n", ("is empty",)),
        ("- id: a\n", ("has no keys", "butlerSchedule")),
        ("text", ("has no keys", "butlerSchedule")),
        ("schedules: []\n", ("'schedules'", "butlerSchedule")),
        ("butlerSchedule: []\nother: []\n", ("'butlerSchedule', 'other'",)),
        ("butlerSchedule: {id: a}\n", ("line 1", "has no list")),
    ],
)
def test_a_file_that_is_no_schedule_file_is_refused_with_the_place(text, parts):
    problem = refusal(text)

    for part in parts:
        assert part in problem


def test_a_bomb_of_aliases_does_not_go_off():
    levels = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]

    assert "alias" in refusal("\n".join(["butlerSchedule:", "  a0: &a0 [lol]", *levels]))


@settings(deadline=None)
@given(st.text(st.sampled_from("butlerSchedule:\n -[]{}'\"\\Ux0F%&*!|>#,?~\t") | st.characters()))
def test_whatever_the_text_nothing_but_a_refusal_comes_of_it(text):
    for candidate in (text, f"{HEAD}  - {text}", f"{HEAD}  - id: {text}", f'{HEAD}  - id: "{text}"'):
        with suppress(ScheduleFileError):
            read_entries(candidate)
