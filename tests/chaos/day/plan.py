"""The day: 500 schedules with their Qlik tasks, and what goes wrong when. All of it follows from the seed.

Moments are minutes of the day, and a minute of the day is a second of the replay: cron texts are compressed by that
much, and the simulator's reloads, queues and retries go sixty times as fast. The service's own pauses and time-outs
stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from tests.chaos.oracle import DAY, read_cron

#: Seconds of the day that pass in a second of the replay
SPEED = 60
#: Reloads that the simulated nodes take at once
SLOTS = 12
HOUR = 60


@dataclass(frozen=True, slots=True)
class Day:
    """What is replayed: from one minute of the day to another. `midnight` is in epoch seconds of the replay."""

    midnight: int
    first: int
    last: int

    @property
    def begin(self) -> int:
        """The first instant, in epoch seconds of the replay."""
        return self.midnight + self.first

    @property
    def end(self) -> int:
        """The last instant, likewise."""
        return self.midnight + self.last

    def cron_at(self, *minutes: int) -> str:
        """Return the cron text that is due at these minutes of the day, and maybe at others that share their parts."""
        instants = [self.midnight + minute for minute in minutes]
        seconds = sorted({instant % 60 for instant in instants})
        return f"{_join(seconds)} {_join(sorted({instant // 60 % 60 for instant in instants}))} * * * *"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A schedule of the day. Durations are in seconds of the replay; `task` is as the simulator takes it."""

    name: str
    title: str
    kind: str
    cron: str
    task: Mapping[str, Any]
    overlap: str = "allow"
    misfire: str = "once"
    grace: int = 3600
    deadline: int = 3600
    max_attempts: int | None = None
    is_started: bool = True

    @property
    def task_id(self) -> str:
        """The task's id as 32 letters and digits."""
        return str(self.task["id"]).replace("-", "")

    @property
    def is_slow(self) -> bool:
        """Whether its reload takes longer than a minute of the day, whatever becomes of it."""
        return float(self.task["reload_seconds"]) > 60

    def list_due(self, day: Day) -> list[int]:
        """Return the instants at which it is due on that day, in epoch seconds of the replay."""
        if not self.is_started:
            return []
        cron = read_cron(self.cron)
        return [
            instant
            for instant in range(day.begin, day.end + 1)
            if cron.matches_time(instant % DAY) and cron.matches_day(instant // DAY)
        ]


@dataclass(frozen=True, slots=True)
class Kind:
    """Schedules that are alike: how many of 500, and how long their reloads take, in seconds of the day."""

    name: str
    share: int
    shortest: float
    longest: float
    #: Whether their tasks may fail
    may_fail: bool = True


KINDS = (
    Kind("each minute", 3, 2, 90, may_fail=False),
    Kind("each 5 minutes", 10, 5, 35),
    Kind("each 15 minutes", 25, 5, 80),
    Kind("each 30 minutes", 40, 10, 110),
    Kind("each hour", 60, 20, 200),
    Kind("office hours", 55, 20, 180),
    Kind("at 06:00", 65, 30, 240),
    Kind("nightly chain", 125, 60, 900),
    Kind("nightly, for hours", 5, 3600, 3 * 3600, may_fail=False),
    Kind("some times a day", 82, 20, 300),
    Kind("on another weekday", 10, 20, 60),
    Kind("stopped", 10, 20, 60),
    Kind("disabled in Sense", 10, 20, 60),
)


def plan_day(day: Day, random: Random, *, size: int = 500) -> list[Duty]:
    """Return the schedules of a day, `size` of them."""
    whole = sum(kind.share for kind in KINDS)
    counts = {kind: max(1, round(kind.share * size / whole)) for kind in KINDS}
    return [_make_duty(day, kind, random, number) for kind, count in counts.items() for number in range(count)]


def _make_duty(day: Day, kind: Kind, random: Random, number: int) -> Duty:
    name, task_id = (str(UUID(int=random.getrandbits(128), version=4)) for _ in range(2))
    is_frequent = kind.name == "each minute"
    return Duty(
        name=name,
        title=f"{kind.name} {number}",
        kind=kind.name,
        cron=_choose_cron(day, kind.name, random, number),
        task=_make_task(kind, random, task_id),
        overlap=("allow", "skip", "queue")[number % 3 if is_frequent else random.choice((0, 0, 0, 1, 1, 2))],
        misfire=random.choice(("once", "once", "all", "skip")),
        grace=random.choice((5, 60, 60, 3600)),
        deadline=random.choice((0, 20, 60, 300, 3600, 3600, 3600)),
        max_attempts=random.choice((None, None, None, None, 1, 3)),
        is_started=kind.name != "stopped",
    )


def _choose_cron(day: Day, kind: str, random: Random, number: int) -> str:
    match kind:
        case "each minute":
            return "* * * * * *"
        case "each 5 minutes" | "each 15 minutes" | "each 30 minutes":
            step = int(kind.split()[1])
            return f"{random.randrange(step)}-59/{step} * * * * *"
        case "each hour" | "stopped" | "disabled in Sense":
            return f"{random.randrange(60)} * * * * *"
        case "office hours":
            minute = random.choice((0, 0, 15, 30))
            return day.cron_at(*(hour * HOUR + minute for hour in range(8, 19)))
        case "at 06:00":
            return day.cron_at(6 * HOUR)
        case "nightly chain":
            # Four links each, ten minutes apart
            return day.cron_at(number // 4 % 6 * HOUR + number // 24 * 7 % 20 + number % 4 * 10)
        case "nightly, for hours":
            return day.cron_at(number * 45)
        case "on another weekday":
            today = day.begin // DAY
            # 1970-01-01 was a Thursday; three days from now it is neither today nor tomorrow
            return f"{random.randrange(60)} * * * * {(today + 4 + 3) % 7}"
    minute = random.randrange(60)
    return day.cron_at(*(hour * HOUR + minute for hour in random.sample(range(24), k=3)))


def _make_task(kind: Kind, random: Random, task_id: str) -> dict[str, Any]:
    seconds = round(random.uniform(kind.shortest, kind.longest), 1)
    task: dict[str, Any] = {"id": task_id, "name": f"Reload {task_id[:4]}", "app": "Day", "reload_seconds": seconds}
    task["enabled"] = kind.name != "disabled in Sense"
    chance = random.random() if kind.may_fail else 1.0
    if chance < 0.06:
        task |= {"fails": True, "max_retries": random.randrange(3)}
    elif chance < 0.12:
        task |= {"fails_first": 1, "max_retries": 2}
    elif chance < 0.14:
        # Aborted by Sense before it is done
        task |= {"reload_seconds": 90 + seconds, "session_timeout_minutes": 1}
    return task


#: What goes wrong with one call, as the simulator takes it. A call that hangs does so past every time-out
COMMON_FAULTS: Sequence[Mapping[str, Any]] = (
    {"kind": "refuse", "status": 503},
    {"kind": "refuse", "status": 500},
    {"kind": "refuse", "status": 502},
    {"kind": "refuse", "status": 504},
    {"kind": "refuse", "status": 403},
    {"kind": "reset", "takes_effect": False},
    {"kind": "hang", "delay_ms": 6000, "takes_effect": False},
    {"kind": "html", "takes_effect": False},
    {"kind": "truncated"},
    {"kind": "cut"},
)
START_FAULTS: Sequence[Mapping[str, Any]] = (
    *COMMON_FAULTS,
    {"kind": "refuse", "status": 500, "takes_effect": True},
    {"kind": "refuse", "status": 502, "takes_effect": True},
    {"kind": "refuse", "status": 504, "takes_effect": True},
    {"kind": "reset"},
    {"kind": "hang", "delay_ms": 6000},
    {"kind": "html"},
    {"kind": "zero"},
)


def list_faults(rates: Mapping[str, float], *, lasts_seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the faults to set, so that of each call the given part is struck, by every kind as often."""
    for call, rate in rates.items():
        kinds = START_FAULTS if call.startswith("start") else COMMON_FAULTS
        for kind in kinds:
            yield {**kind, "calls": [call], "rate": rate / len(kinds), "lasts_seconds": lasts_seconds}


def _join(values: Sequence[int]) -> str:
    return ",".join(map(str, values))
