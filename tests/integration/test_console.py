"""The console of `manage.py up` on files, pipes and terminals, read and not read."""

from __future__ import annotations

import os
import pty

import pytest

from butler.processes import console
from butler.processes.console import Console
from tests.waiting import wait_for


@pytest.fixture
def written(tmp_path):
    """Return a function that lets a console write to a file and returns what is there in the end."""

    def written(write, **options: object) -> str:
        with (tmp_path / "output").open("w+b", buffering=0) as file:
            subject = Console(file.fileno(), **options)
            write(subject)
            subject.close()
            return (tmp_path / "output").read_bytes().decode()

    return written


def on_terminal(environment: dict[str, str]) -> str:
    """Return what one line looks like on a terminal."""
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        subject = Console.on(stream, environment=environment)
        subject.show("web", "one")
        subject.close()
        shown = os.read(controller, 1000).decode()
    os.close(controller)
    return shown


def test_each_line_stands_behind_the_name_of_its_process(written):
    def write(subject):
        subject.show("web", "one")
        subject.show("simulator", "two")
        subject.say("three")
        subject.write("as it is\n")

    assert written(write) == "web       | one\nsimulator | two\nbutler    | three\nas it is\n"


def test_the_name_is_coloured_on_a_terminal():
    assert on_terminal({"TERM": "xterm", "NO_COLOR": ""}) == "\x1b[32mweb       |\x1b[0m one\r\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colours_can_be_declined(environment):
    assert on_terminal(environment) == "web       | one\r\n"


def test_there_are_no_colours_in_a_file(tmp_path):
    with (tmp_path / "output").open("w") as stream:
        subject = Console.on(stream, environment={"TERM": "xterm"})
        subject.show("web", "one")
        subject.close()
    assert (tmp_path / "output").read_text() == "web       | one\n"


def test_control_codes_of_a_process_do_not_reach_the_terminal(written):
    shown = written(lambda subject: subject.show("web", "\x1b[2Jgone\x07\tåäö"))
    assert shown == "web       | \ufffd[2Jgone\ufffd\tåäö\n"


def test_letters_that_the_terminal_does_not_have_become_marks(written):
    assert written(lambda subject: subject.show("web", "åäö"), encoding="ascii") == "web       | ???\n"


def test_a_reader_that_is_gone_changes_nothing():
    read_end, write_end = os.pipe()
    os.close(read_end)
    subject = Console(write_end)
    subject.say("nobody reads this")
    subject.say("nor this")
    subject.close()
    os.close(write_end)


def test_a_reader_that_is_held_up_holds_up_nobody_and_learns_what_it_missed(monkeypatch):
    monkeypatch.setattr(console, "MOST_WAITING", 3)
    read_end, write_end = os.pipe()
    subject = Console(write_end)
    more_than_a_pipe_takes = "x" * 1_000_000
    subject.write(more_than_a_pipe_takes)
    wait_for(lambda: subject._waiting.empty(), seconds=10)
    for number in range(1, 6):
        subject.write(f"{number}\n")
    subject.close()
    received = b""
    while len(received) < 1_000_000 + len("1\n2\n3\n"):
        received += os.read(read_end, 65_536)
    subject.write("6\n")
    note = os.read(read_end, 1000)
    os.close(read_end)
    os.close(write_end)
    assert received.decode().lstrip("x") == "1\n2\n3\n"
    assert note.decode() == "(2 lines are lost here)\n6\n"
