"""The replay: real processes, the events of the day at their minutes, and the wait until all runs are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from random import Random

from tests.chaos.day.plan import HOUR, SLOTS, SPEED, Day, Duty, list_faults, plan_day
from tests.chaos.day.truth import Evidence, Row, read_evidence, read_rows
from tests.chaos.programs import Program
from tests.chaos.site import Site
from tests.chaos.terms import Terms
from tests.waiting import wait_for

#: Which part of these calls goes wrong. Lists of results are few, for the follower alone asks for them
RATES = {"start synchronous": 0.05, "sessions": 0.05, "results": 0.15}
#: In the short form all goes wrong at the beginning: what came of it takes the service most of the time to find out
SHORT_RATES = {"start synchronous": 0.8, "sessions": 0.2, "results": 0.2}
SHORT_FAULTS_SECONDS = 4
SHORT_FIRST, SHORT_MINUTES, SHORT_SIZE = 5 * HOUR + 58, 8, 200
#: How long to wait for the last runs' ends
SETTLE_SECONDS, SHORT_SETTLE_SECONDS = 300, 40


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a minute of the day."""

    minute: float
    words: str
    act: Callable[[], None]


@dataclass(slots=True)
class Stage:
    """The processes and schedules of the day, for the events to act on."""

    site: Site
    day: Day
    duties: Sequence[Duty]
    random: Random
    beat: Program
    workers: Sequence[Program]
    #: When schedules were deleted, by their names, in epoch seconds
    deleted: dict[str, float] = field(default_factory=dict)
    #: What happened when, in words
    log: list[tuple[float, str]] = field(default_factory=list)

    def play(self, events: Sequence[Event]) -> None:
        """Let the events happen, each at its minute, and wait for the end of the day."""
        for event in sorted(events, key=lambda event: event.minute):
            _wait_until(self.day.midnight + event.minute)
            event.act()
            self.log.append((event.minute, event.words))
        _wait_until(self.day.end + 1)

    def pick(self, *kinds: str, overlap: str = "", count: int = 1) -> list[Duty]:
        """Return schedules of these kinds to which something is to happen."""
        fitting = [duty for duty in self.duties if duty.kind in kinds and overlap in ("", duty.overlap)]
        return self.random.sample(fitting, k=min(count, len(fitting)))


def replay_day(terms: Terms) -> Evidence:
    """Replay a day, or a quarter of an hour of it in the short form; return all that is known in the end."""
    random = terms.make_random("day")
    housekeeping = {"CHAOS_HOUSEKEEPING_SECONDS": "1"} if terms.is_short else {}
    options = ("--speed", str(SPEED), "--slots", str(SLOTS))
    with Site(
        terms.workshop,
        database=terms.database,
        random=random,
        qrs_timeout="1,2" if terms.is_short else "1,3",
        simulator=options,
        **housekeeping,
    ) as site:
        stage = _set_up(site, random, is_short=terms.is_short)
        _set_faults(site, stage.day, is_short=terms.is_short)
        stage.play([*(_list_short_events if terms.is_short else _list_events)(stage)])
        site.control("/faults", method="DELETE")
        return _read_at_rest(stage, seconds=SHORT_SETTLE_SECONDS if terms.is_short else SETTLE_SECONDS)


def _set_faults(site: Site, day: Day, *, is_short: bool) -> None:
    rates, until = (SHORT_RATES, day.begin + SHORT_FAULTS_SECONDS) if is_short else (RATES, day.end)
    site.control("/faults", list(list_faults(rates, lasts_seconds=until - time.time())))


def _set_up(site: Site, random: Random, *, is_short: bool) -> Stage:
    """Start the processes and make the schedules; the day begins some seconds after, later on a slow machine."""
    clock = time.monotonic()
    workers = [site.start_worker(), site.start_worker()]
    beat = site.start_beat()
    site.wait_for_leader()
    first, last, size = (SHORT_FIRST, SHORT_FIRST + SHORT_MINUTES, SHORT_SIZE) if is_short else (0, 24 * HOUR, 500)
    lead = (3 if is_short else 20) + (time.monotonic() - clock) / 2
    day = Day(int(time.time() + lead) - first, first, last)
    duties = plan_day(day, random, size=size)
    site.control("/tasks", [duty.task for duty in duties], method="PUT")
    site.clerk.ask("create", [_describe(duty, day) for duty in duties])
    assert time.time() < day.begin, "the machine is too slow: the day began before all was ready"
    return Stage(site, day, duties, random, beat, workers)


def _describe(duty: Duty, day: Day) -> dict[str, object]:
    return {
        "name": duty.name,
        "title": duty.title,
        "qlik_task_id": duty.task["id"],
        "cron_schedule": duty.cron,
        "overlap": duty.overlap,
        "misfire": duty.misfire,
        "misfire_grace": duty.grace,
        "retry_deadline": duty.deadline,
        "max_attempts": duty.max_attempts,
        "enabled": duty.is_started,
        "starts_at": day.begin,
        "ends_at": day.end,
    }


def _list_short_events(stage: Stage) -> Iterator[Event]:
    first = stage.day.first
    yield from _kill(stage, first + 2.1, stage.workers[0], "a worker")
    yield from _kill(stage, first + 4.5, stage.beat, "beat")
    yield _take_down(stage, first + 5, seconds=1, keeps="sessions")
    yield _take_down(stage, first + 7, seconds=0, keeps="results")
    yield from _change_schedules(stage, first + 3, first + 4)


def _list_events(stage: Stage) -> Iterator[Event]:
    def about(hour: float) -> float:
        return hour * HOUR + stage.random.uniform(-20, 20)

    first, second = stage.workers
    yield from _kill(stage, about(2.5), first, "a worker")
    yield from _kill(stage, about(5.5), stage.beat, "beat")
    yield from _kill(stage, about(14), second, "the other worker")
    redis = stage.site.redis
    minute = about(9)
    yield Event(minute, "Redis is killed, with all that it holds", redis.stop)
    yield Event(minute + 2, "Redis is started again, empty", redis.start)
    yield _take_down(stage, about(3.5), seconds=20, keeps="sessions")
    yield _take_down(stage, about(7), seconds=2, keeps="results")
    yield _take_down(stage, about(12), seconds=1, keeps="nothing")
    yield _take_down(stage, about(15.5), seconds=45, keeps="sessions")
    yield _take_down(stage, about(20), seconds=0, keeps="results")
    yield from _change_schedules(stage, about(10), about(11))
    yield from _change_tasks(stage, about(10.5), about(13))
    yield from _play_by_hand(stage)


def _kill(stage: Stage, minute: float, program: Program, name: str) -> Iterator[Event]:
    yield Event(minute, f"kill -9 of {name}", program.kill)
    yield Event(minute + 1, f"{name} is started again", program.start)


def _take_down(stage: Stage, minute: float, *, seconds: float, keeps: str) -> Event:
    losses = {"sessions": "keeps all", "results": "loses sessions, keeps results", "nothing": "loses what was running"}
    words = f"QRS is away for {seconds:.0f} minutes" if seconds > 1 else "QRS restarts"
    return Event(
        minute,
        f"{words} and {losses[keeps]}",
        lambda: stage.site.control("/outage", {"seconds": seconds, "keeps": keeps}),
    )


def _change_schedules(stage: Stage, first: float, second: float) -> Iterator[Event]:
    deleted, renamed = stage.pick("each 5 minutes", count=2)

    def delete() -> None:
        stage.site.clerk.ask("delete", [deleted.name])
        stage.deleted[deleted.name] = time.time()

    yield Event(first, f"the schedule {deleted.title!r} is deleted", delete)
    yield Event(
        second,
        f"the schedule {renamed.title!r} is renamed",
        lambda: stage.site.clerk.ask("edit", [renamed.name], {"title": "renamed"}),
    )


def _change_tasks(stage: Stage, first: float, second: float) -> Iterator[Event]:
    deleted, disabled = stage.pick("each 30 minutes", count=2)
    yield Event(
        first,
        f"the task of {deleted.title!r} is deleted in Sense",
        lambda: stage.site.control(f"/tasks?id={deleted.task['id']}", method="DELETE"),
    )
    yield Event(
        second,
        f"the task of {disabled.title!r} is disabled in Sense",
        lambda: stage.site.control("/tasks", {"id": disabled.task["id"], "enabled": False}, method="PATCH"),
    )


def _play_by_hand(stage: Stage) -> Iterator[Event]:
    """People start and stop tasks in Sense, past the service."""
    slow = [duty for duty in stage.pick("each hour", "office hours", overlap="skip", count=99) if duty.is_slow]
    for duty in slow[:8]:
        # So shortly before it is due that it still runs then
        due = stage.random.choice(duty.list_due(stage.day))
        path = f"/start?task_id={duty.task['id']}"
        minute = due - stage.day.midnight - 0.4
        yield Event(minute, f"somebody starts the task of {duty.title!r} in Sense", _post(stage, path))
    for duty in stage.pick("at 06:00", count=6):
        minute = 6 * HOUR + stage.random.uniform(1, 3)
        path = f"/stop?task_id={duty.task['id']}"
        yield Event(minute, f"somebody stops the task of {duty.title!r} in Sense", _post(stage, path))


def _post(stage: Stage, path: str) -> Callable[[], None]:
    return lambda: stage.site.control(path)


def _read_at_rest(stage: Stage, *, seconds: float) -> Evidence:
    """Wait for the ends of the runs, and read everything; once more where a reload has ended between the two."""
    for _ in range(3):
        _settle(stage.site, seconds=seconds)
        evidence = read_evidence(
            stage.site, day=stage.day, duties=stage.duties, deleted=stage.deleted, events=stage.log
        )
        if not any(row.state == "started" and _is_over(row, evidence) for row in evidence.rows):
            break
    return evidence


def _is_over(row: Row, evidence: Evidence) -> bool:
    reload = evidence.reloads.get(row.session or "")
    return reload is not None and reload.over_at < inf


def _settle(site: Site, *, seconds: float) -> None:
    """Wait until every run has come to its end, or its reload is still under way."""
    with suppress(AssertionError):
        wait_for(lambda: not _list_stragglers(site), seconds=seconds, pause=1)


def _list_stragglers(site: Site) -> list[Row]:
    waiting = [row for row in read_rows(site.database) if row.closed_at is None]
    under_way = {session["id"].replace("-", "") for session in site.control("/sessions", method="GET")}
    return [row for row in waiting if row.state != "started" or row.session not in under_way]


def _wait_until(moment: float) -> None:
    time.sleep(max(moment - time.time(), 0))
