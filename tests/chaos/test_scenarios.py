"""Each scenario for some seconds, on SQLite; `make chaos` runs them many times, on PostgreSQL too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.chaos.beats import kill_beat, many_beats
from tests.chaos.broken import break_rows
from tests.chaos.clocks import step_clock
from tests.chaos.cuts import cut_database
from tests.chaos.disks import cut_power, fill_disk
from tests.chaos.doubts import begin_late, freeze_follower
from tests.chaos.downtime import go_down
from tests.chaos.edits import edit_many
from tests.chaos.failover import fail_over
from tests.chaos.masses import edit_masses
from tests.chaos.outages import stop_database, stop_redis
from tests.chaos.postgres import NoPostgresError
from tests.chaos.power import lose_power
from tests.chaos.report import HEADINGS, Line, format_line, format_remarks
from tests.chaos.standbys import start_standbys
from tests.chaos.terms import Terms
from tests.chaos.workers import kill_worker, redeliver

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the lease knows a dead process of this machine from /proc"),
    pytest.mark.timeout(180),
]


def check(scenario: Callable[[Terms], Iterator[Line]], terms: Terms) -> None:
    """Run a scenario and show its table when a promise was broken."""
    lines = list(scenario(terms))
    table = [format_line(HEADINGS), *(f"{format_line(line.cells())}\n{format_remarks(line)}" for line in lines)]
    assert lines
    assert not any(line.failures for line in lines), "\n".join([f"seed {terms.seed}", *table])


def test_a_killed_beat_loses_and_doubles_nothing(terms):
    check(kill_beat, terms)


def test_a_standby_takes_over_from_a_leader_that_is_killed_or_frozen(terms):
    check(many_beats, terms)


def test_what_is_due_while_redis_is_away_is_sent_when_it_returns(terms):
    check(stop_redis, terms)


def test_a_locked_database_crashes_nothing_and_doubles_nothing(terms):
    check(stop_database, terms)


def test_a_run_whose_worker_is_killed_ends_in_one_final_state(terms):
    check(kill_worker, terms)


def test_a_message_that_redis_delivers_twice_starts_one_reload(terms):
    check(redeliver, terms)


def test_a_clock_that_steps_makes_neither_silence_nor_a_storm(terms):
    check(step_clock, terms)


def test_edits_delay_nobody_and_never_fire_old_and_new(terms):
    check(edit_many, terms)


def test_rows_that_a_hand_has_broken_are_set_aside(terms):
    check(break_rows, terms)


def test_time_down_is_made_up_for_as_the_policies_say(terms):
    check(go_down, terms)


def test_a_power_cut_is_made_up_for_once_although_the_service_is_back_before_qrs(terms):
    check(lose_power, terms)


def test_a_start_that_qrs_begins_late_is_not_made_twice(terms):
    check(begin_late, terms)


def test_a_follower_that_was_frozen_writes_nothing_old(terms):
    check(freeze_follower, terms)


def test_edits_of_many_are_made_whole_or_not_at_all_and_delay_nobody(terms):
    check(edit_masses, terms)


def test_a_database_that_is_held_for_seconds_loses_no_start_and_no_session(terms):
    check(cut_database, terms)


def test_what_was_not_synced_when_the_power_was_cut_starts_nothing_twice(terms):
    check(cut_power, terms)


def test_a_full_disk_is_ridden_out(terms):
    check(fill_disk, terms)


def test_standbys_that_start_again_and_again_silence_nobody(terms):
    check(start_standbys, terms)


def test_a_database_that_only_reads_for_some_seconds_is_ridden_out(terms):
    try:
        check(fail_over, replace(terms, database="postgres"))
    except NoPostgresError as error:
        pytest.skip(str(error))
