"""When a program that died starts again, and how its end reads."""

from __future__ import annotations

import signal

import pytest

from butler.processes.child import BackOff, describe_end


def test_the_pause_doubles_up_to_half_a_minute():
    back_off = BackOff()
    assert [back_off.pause_after(0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_the_pause_is_short_again_after_a_minute_of_running():
    back_off = BackOff()
    pauses = [back_off.pause_after(seconds_run) for seconds_run in (0.1, 0.1, 59.9, 60.0, 0.1)]
    assert pauses == [1, 2, 4, 1, 2]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended by itself with exit code 0"),
        (3, "ended by itself with exit code 3"),
        (-signal.SIGKILL, "was ended by SIGKILL"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-99, "was ended by signal 99"),
    ],
)
def test_the_end_of_a_process_reads_as_people_say_it(code, words):
    assert describe_end(code) == words
