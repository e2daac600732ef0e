"""The load to come: how many starts each second, minute or hour has, and which schedules are behind the peaks."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil, floor
from typing import Any, TypeAlias

from django.utils import timezone

from schedules.load import SecondCounter, sum_up
from schedules.models import TIMETABLE_COLUMNS, Schedule, from_epoch, make_timetable
from schedules.periods import PeriodError, check_order
from schedules.progressions import list_progressions
from schedules.targets import Target, TaskIndex, has_target
from schedules.timetable import Timetable
from schedules.wall_clock import DAY

#: What is asked for where nobody says until when
DEFAULT_SPAN = timedelta(days=1)

PEAKS_SHOWN = 5
#: Of the schedules behind a peak so many are named
NAMES_SHOWN = 20

_COLUMNS = (
    *TIMETABLE_COLUMNS,
    "title",
    "max_runs",
    "runs_planned",
    "paused_until",
    "qlik_task_id",
    "target_tag",
    "target_property",
)


class Per(StrEnum):
    """How finely starts are counted."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"

    @property
    def seconds(self) -> int:
        """The length of the time that is counted together."""
        return {Per.SECOND: 1, Per.MINUTE: 60, Per.HOUR: 3600}[self]

    @property
    def most_days(self) -> int:
        """The longest stretch that can be asked for."""
        return {Per.SECOND: 1, Per.MINUTE: 8, Per.HOUR: 31}[self]


@dataclass(frozen=True, slots=True)
class Share:
    """What one schedule has in a peak."""

    name: str
    title: str
    starts: int


@dataclass(frozen=True, slots=True)
class Peak:
    """A second or a minute with many starts; `shares` names the first of its `schedules`, the greatest share first."""

    at: datetime
    starts: int
    schedules: int
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Starts from `from_at` up to, not including, `until_at`: one count for each `per`, in order.

    `schedules` is the number of started schedules; the ids in `broken` are those that no time can be computed for.
    """

    from_at: datetime
    until_at: datetime
    per: Per
    counts: Sequence[int]
    schedules: int
    broken: Sequence[str]
    busiest_seconds: Sequence[Peak]
    busiest_minutes: Sequence[Peak]

    @property
    def starts(self) -> int:
        """The number of all starts."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class _Line:
    """Schedules that are due at the same instants, those from `start` up to `end` in epoch seconds.

    At each of them each of the schedules starts as many tasks as `tasks` says.
    """

    timetable: Timetable
    start: int
    end: int
    tasks: int
    schedules: Sequence[tuple[str, str]]


_Moment: TypeAlias = tuple[int, int]  # the number of starts, and the instant with its sign changed


def forecast_load(
    *, from_at: datetime | None = None, until_at: datetime | None = None, per: Per = Per.MINUTE
) -> Forecast:
    """Return the load from one instant up to another, by default for a day from this minute, or hour, on.

    The stretch is widened to whole minutes, or hours, of UTC. Of a schedule's greatest number of runs, what is
    left is used up from now on. Raises PeriodError.
    """
    now = timezone.now()
    unit = max(60, per.seconds)
    from_at = from_at or from_epoch(floor(now.timestamp() / unit) * unit)
    until_at = until_at or from_at + DEFAULT_SPAN
    check_order(from_at=from_at, until_at=until_at)
    _check_length(per, seconds=(until_at - from_at).total_seconds())
    start, end = floor(from_at.timestamp() / unit) * unit, ceil(until_at.timestamp() / unit) * unit
    lines, broken = _read_lines(start=start, end=end, now=now)
    counts: list[int] = []
    seconds: list[_Moment] = []
    minutes: list[_Moment] = []
    # By the day, so that a long stretch takes no more memory than a short one
    for first, last in _days(start, end):
        of_day = _count(lines, start=first, end=last)
        counts += sum_up(of_day, size=per.seconds)
        seconds = _busiest(seconds, of_day, start=first, size=1)
        minutes = _busiest(minutes, of_day, start=first, size=60)
    return Forecast(
        from_at=from_epoch(start),
        until_at=from_epoch(end),
        per=per,
        counts=counts,
        schedules=sum(len(line.schedules) for line in lines),
        broken=broken,
        busiest_seconds=[_describe(lines, moment, size=1) for moment in seconds],
        busiest_minutes=[_describe(lines, moment, size=60) for moment in minutes],
    )


def _check_length(per: Per, *, seconds: float) -> None:
    if seconds > per.most_days * DAY:
        longer = [other for other in Per if other.most_days > per.most_days]
        advice = f"an earlier until, or count per {longer[0]}" if longer else "an earlier until"
        raise PeriodError(
            f"from and until are {seconds / DAY:,.1f} days apart, and per {per} at most {per.most_days} can be "
            f"forecast. Give {advice}."
        )


def _read_lines(*, start: int, end: int, now: datetime) -> tuple[list[_Line], list[str]]:
    """Return the started schedules by when they are due, and the ids of those that are broken."""
    index = TaskIndex()
    members: defaultdict[tuple[Timetable, int, int, int], list[tuple[str, str]]] = defaultdict(list)
    broken = []
    for row in Schedule.objects.filter(enabled=True).order_by("pk").values(*_COLUMNS).iterator():
        try:
            timetable = make_timetable(row)
            first, last = _bounds(timetable, row, start=start, end=end, now=now)
            tasks = _count_tasks(row, index)
        except (LookupError, ValueError, TypeError, AttributeError, OSError):
            broken.append(row["name"])
        else:
            members[timetable, first, last, tasks].append((row["name"], row["title"]))
    return [_Line(*key, schedules) for key, schedules in members.items()], broken


def _count_tasks(row: Mapping[str, Any], index: TaskIndex) -> int:
    """Return how many tasks a schedule starts at each of its times."""
    target = Target(row["qlik_task_id"], row["target_tag"], row["target_property"])
    return len(index.resolve(target)) if has_target(target) else 1


def _bounds(timetable: Timetable, row: Mapping[str, Any], *, start: int, end: int, now: datetime) -> tuple[int, int]:
    """Return from when up to when a schedule's occurrences count: after its pause, and while it has runs left."""
    if row["paused_until"] is not None:
        start = max(start, floor(row["paused_until"].timestamp()) + 1)
    if row["max_runs"] is None:
        return start, end
    left = row["max_runs"] - row["runs_planned"]
    resumes = max(now, row["paused_until"] or now)
    used_from = floor(resumes.timestamp()) + 1
    return max(start, used_from), _end_of_runs(timetable, start=used_from, end=end, left=left)


def _end_of_runs(timetable: Timetable, *, start: int, end: int, left: int) -> int:
    """Return the second after the last of the `left` due instants from `start` on; `end` where there are fewer."""
    if left <= 0:
        return start
    for first, last in _days(start, end):
        parts = list(list_progressions(timetable, start=first, end=last))
        number = sum(part.length for part in parts)
        if number >= left:
            return sorted(due for part in parts for due in part.numbers)[left - 1] + 1
        left -= number
    return end


def _days(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch where days of UTC begin."""
    while start < end:
        last = min(end, (start // DAY + 1) * DAY)
        yield start, last
        start = last


def _count(lines: Sequence[_Line], *, start: int, end: int) -> list[int]:
    """Return the number of starts of each second."""
    counter = SecondCounter(start=start, end=end)
    for line in lines:
        weight = len(line.schedules) * line.tasks
        first, last = max(start, line.start), min(end, line.end)
        for progression in list_progressions(line.timetable, start=first, end=last):
            counter.add(progression, weight=weight)
    return counter.totals()


def _busiest(before: Sequence[_Moment], counts: Sequence[int], *, start: int, size: int) -> list[_Moment]:
    """Return the greatest of the moments found before and those of one more day, of equal ones the earliest."""
    sums = sum_up(counts, size=size)
    found = ((number, -(start + place * size)) for place, number in enumerate(sums) if number)
    return heapq.nlargest(PEAKS_SHOWN, [*before, *found])


def _describe(lines: Sequence[_Line], moment: _Moment, *, size: int) -> Peak:
    """Find the schedules that are due within the `size` seconds from a moment on."""
    starts, at = moment[0], -moment[1]
    found = []
    for line in lines:
        first, last = max(at, line.start), min(at + size, line.end)
        # Most are not due then, and one step shows it
        due = line.timetable.next_timestamp(first - 1)
        if due is not None and due < last:
            number = sum(part.length for part in list_progressions(line.timetable, start=first, end=last))
            found += [Share(name, title, number * line.tasks) for name, title in line.schedules if line.tasks]
    shares = heapq.nsmallest(NAMES_SHOWN, found, key=lambda share: (-share.starts, share.title, share.name))
    return Peak(from_epoch(at), starts, len(found), tuple(shares))
