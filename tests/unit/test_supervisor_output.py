"""What the supervisor makes of the bytes of its children, and what people read."""

from __future__ import annotations

import io

import pytest

from butler.processes.console import Console
from butler.processes.lines import LONGEST_LINE, LineCutter
from butler.processes.welcome import welcome


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def cut(*chunks: bytes) -> list[str]:
    """Return all the lines that come of the chunks."""
    cutter = LineCutter()
    lines = [line for chunk in chunks for line in cutter.feed(chunk)]
    return lines + cutter.finish()


def test_lines_come_whole_however_the_bytes_are_cut():
    text = "one\ntvå åäö\n\nthree".encode()
    for size in range(1, len(text) + 1):
        assert cut(*(text[i : i + size] for i in range(0, len(text), size))) == ["one", "två åäö", "", "three"]


def test_a_line_is_handed_over_as_soon_as_it_ends():
    assert LineCutter().feed(b"one\ntwo\nthr") == ["one", "two"]


def test_windows_line_ends_are_line_ends():
    assert cut(b"one\r\ntwo\r\n") == ["one", "two"]


def test_invalid_utf_8_becomes_a_mark():
    assert cut(b"before\n\xff\xfe after\n") == ["before", "\ufffd\ufffd after"]


def test_a_long_line_is_not_lost():
    assert cut(b"x" * 500_000, b"x" * 500_000 + b"\n") == ["x" * 1_000_000]


def test_an_endless_line_comes_in_parts():
    cutter = LineCutter()
    assert cutter.feed(b"x" * (LONGEST_LINE + 1)) == ["x" * (LONGEST_LINE + 1)]
    assert cutter.finish() == []


def test_each_line_stands_behind_the_name_of_its_process():
    stream = io.StringIO()
    console = Console.on(stream, environment={})
    console.show("web", "one")
    console.show("simulator", "two")
    console.say("three")
    assert stream.getvalue() == "web       | one\nsimulator | two\nbutler    | three\n"


def test_the_name_is_coloured_on_a_terminal():
    stream = Terminal()
    Console.on(stream, environment={"TERM": "xterm"}).show("web", "one")
    assert stream.getvalue() == "\x1b[32mweb       |\x1b[0m one\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colours_can_be_declined(environment):
    stream = Terminal()
    Console.on(stream, environment=environment).show("web", "one")
    assert stream.getvalue() == "web       | one\n"


def test_an_empty_no_color_does_not_decline_colours():
    stream = Terminal()
    Console.on(stream, environment={"NO_COLOR": ""}).show("web", "one")
    assert "\x1b" in stream.getvalue()


def test_control_codes_of_a_process_do_not_reach_the_terminal():
    stream = io.StringIO()
    Console.on(stream, environment={}).show("web", "\x1b[2Jgone\x07\tåäö")
    assert stream.getvalue() == "web       | \ufffd[2Jgone\ufffd\tåäö\n"


def test_the_welcome_wraps_at_eighty_columns_but_leaves_addresses_whole():
    address = f"https://{'x' * 90}.example.com"
    text = welcome(seconds=1.26, address="127.0.0.1:8080", facts={"API": "word " * 40, "Qlik Sense": address})
    assert text.startswith("\nButler is ready after 1.3 s.\n\n  API         word word")
    assert f"  Qlik Sense  {address}\n" in text
    assert "curl http://127.0.0.1:8080/v4/schedules\n" in text
    assert max(len(line) for line in text.splitlines() if address not in line) <= 80
