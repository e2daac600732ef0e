"""What was missed in a time in which nobody planned, settled slice by slice.

What was still on time when planning went on has its rows already. Slices go through the schedules in the order of
their keys, so that a leader that is killed leaves a clean cut to the next one.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

from schedules.entries import Circumstances, Entry
from schedules.models import Absence, from_epoch
from schedules.policies import first_on_time
from schedules.runs import PlannedRun

#: Missed occurrences that are settled at a time
SLICE_SIZE = 4000
#: What it costs to look at a schedule that has missed nothing, in occurrences
LOOK_COST = 1
#: The time after which a slice ends, however few occurrences it has: the lock of the lease is held meanwhile
SLICE_SECONDS = 0.5
#: Of a schedule with more occurrences than this that are still on time by its grace, those of the last seconds are
MAX_ON_TIME, LAST_SECONDS = 1000, 60


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows to be written, and whether the absence is settled with them."""

    rows: Sequence[PlannedRun]
    is_last: bool


def plan_slice(absence: Absence, entries: Mapping[int, Entry], circumstances: Circumstances) -> Slice:
    """Return the next rows, and move the absence's mark behind them without saving it.

    A schedule that was stopped, or whose times were edited, since the absence is left out: it has forgotten the time
    before.
    """
    rows: list[PlannedRun] = []
    room = SLICE_SIZE
    end = time.monotonic() + SLICE_SECONDS
    for pk in _unsettled(absence, entries):
        # One occurrence may make a row for each of many tasks
        fitting = max(room // entries[pk].size, 1)
        missed = _missed_instants(absence, entries[pk], most=fitting + 1)
        is_cut = len(missed) > fitting
        is_replaced = _is_replaced(absence, entries[pk], circumstances, last=missed[fitting - 1] if is_cut else None)
        rows += circumstances.plan(entries[pk], missed=missed[:fitting], is_replaced=is_replaced)
        absence.settled_pk = pk
        absence.settled_through = from_epoch(missed[fitting - 1]) if is_cut else None
        if is_cut:
            return Slice(rows, is_last=False)
        room -= len(missed) * entries[pk].size + LOOK_COST
        if room <= 0 or time.monotonic() > end:
            return Slice(rows, is_last=False)
    return Slice(rows, is_last=True)


def _unsettled(absence: Absence, entries: Mapping[int, Entry]) -> list[int]:
    pks = sorted(entries)
    bisect = bisect_right if absence.settled_through is None else bisect_left
    return pks[bisect(pks, absence.settled_pk) :]


def _missed_instants(absence: Absence, entry: Entry, *, most: int) -> list[int]:
    begin = absence.from_at
    if absence.settled_through is not None and entry.pk == absence.settled_pk:
        begin = absence.settled_through
    after = max(begin.timestamp(), entry.armed_at)
    return list(islice(entry.timetable.between(after, _border(absence, entry) - 1), most))


def find_border(entry: Entry, *, after: float, until: float) -> int:
    """Return the first instant whose occurrence is on time when planning goes on at `until`, all in epoch seconds.

    Nobody has planned the entry's occurrences after `after`. Where very many are on time by the grace, to look at each
    of them would delay everyone, and to start each would help no one.
    """
    border, latest = first_on_time(until, grace=entry.grace), ceil(until - LAST_SECONDS)
    if border >= latest:
        return border
    late = entry.timetable.between(max(after, border - 1), latest - 1)
    has_too_many = len(list(islice(late, MAX_ON_TIME + 1))) > MAX_ON_TIME
    return latest if has_too_many else border


def _is_replaced(absence: Absence, entry: Entry, circumstances: Circumstances, *, last: int | None) -> bool:
    """Return whether an occurrence runs that comes after those of this slice: after `last`, where more were missed."""
    after = _border(absence, entry) - 1 if last is None else last
    return circumstances.next_open(entry, after=after, until=absence.until_at.timestamp()) is not None


def _border(absence: Absence, entry: Entry) -> int:
    after = max(absence.from_at.timestamp(), entry.armed_at)
    return find_border(entry, after=after, until=absence.until_at.timestamp())
