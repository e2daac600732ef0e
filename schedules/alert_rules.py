"""What deserves an alert, whom it is told, and how often. Pure: facts and instants in, decisions out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import TypeAlias
from uuid import UUID

from schedules.policies import MISFIRE_MARK


class AlertEvent(StrEnum):
    """What can go wrong, in the order in which people want to hear of it."""

    QRS_UNREACHABLE = "qrs-unreachable"
    CERTIFICATE = "certificate"
    START_FAILED = "start-failed"
    RELOAD_FAILED = "reload-failed"
    MISSED = "missed"
    LATE = "late"
    SLOW = "slow"


#: Those that are the whole site's matter and not a schedule's
SITE_EVENTS = frozenset({AlertEvent.QRS_UNREACHABLE, AlertEvent.CERTIFICATE})

#: QRS out of reach for less than this is nobody's concern: starts are tried again meanwhile
QRS_PATIENCE = timedelta(seconds=60)
#: A reload is slow only when it takes at least this much longer than usual
SLOW_MARGIN = timedelta(seconds=60)
#: So many of a schedule's last reloads say what is usual, and fewer than the second number say nothing
RELOADS_COMPARED = 20
FEWEST_RELOADS = 5
#: Days before its end at which a certificate is told of again
CERTIFICATE_DAYS = (30, 14, 7, 3, 2, 1, 0)

#: After a message of a kind the next one waits for a minute, then for two, four and so on, and never longer than this
SHORTEST_GAP = timedelta(minutes=1)
LONGEST_GAP = timedelta(minutes=10)
PACE_WINDOW = timedelta(hours=1)

#: A message that cannot be sent is tried again after a minute, two, four and so on, up to an hour, for a day
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)

_NOT_STARTED = frozenset({"refused", "unreachable", "unknown"})
_STARTED = frozenset({"started", "succeeded", "failed", "aborted"})
_BAD_RELOADS = frozenset({"failed", "aborted"})
#: The reasons of runs that are due at a time; others are due when somebody asks
_TIMED = frozenset({"scheduled", "catch-up", "repeated"})

#: An event and whose it is: a schedule, a task, a certificate, the site
Key: TypeAlias = tuple[AlertEvent, str]
#: What messages have in common that may share one: the event, and whether they tell of its end
Kind: TypeAlias = tuple[AlertEvent, bool]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What of a run decides whether somebody is told.

    `grace` is None where the schedule is gone or broken, `duration` where no reload was followed to its end, `usual`
    where too few reloads are known.
    """

    state: str
    reason: str
    message: str
    due_at: datetime
    called_at: datetime | None = None
    grace: timedelta | None = None
    duration: timedelta | None = None
    usual: timedelta | None = None


def judge_run(run: RunFacts, *, slow_factor: float) -> Iterator[tuple[AlertEvent, bool]]:
    """Tell of each event that a closed run says something about whether it is bad (True) or well again (False)."""
    has_started = run.state in _STARTED
    if has_started or run.state in _NOT_STARTED:
        yield AlertEvent.START_FAILED, not has_started
    if run.state == "succeeded" or run.state in _BAD_RELOADS:
        yield AlertEvent.RELOAD_FAILED, run.state != "succeeded"
    is_missed = run.state == "skipped" and run.message.startswith(MISFIRE_MARK)
    if has_started or is_missed:
        yield AlertEvent.MISSED, is_missed
    if has_started and run.called_at and run.grace is not None and run.reason in _TIMED:
        yield AlertEvent.LATE, run.called_at - run.due_at > run.grace
    if run.state == "succeeded" and run.duration is not None:
        yield AlertEvent.SLOW, is_slow(run.duration, usual=run.usual, factor=slow_factor)


def may_be_slow(duration: timedelta) -> bool:
    """Return whether it is worth while to look up what is usual."""
    return duration >= SLOW_MARGIN


def usual_duration(durations: Sequence[timedelta]) -> timedelta | None:
    """Return the median of a schedule's last reloads; None when they are too few to compare with."""
    if len(durations) < FEWEST_RELOADS:
        return None
    return timedelta(seconds=median(duration.total_seconds() for duration in durations))


def is_slow(duration: timedelta, *, usual: timedelta | None, factor: float) -> bool:
    """Return whether a reload takes `factor` times as long as usual, and long enough for people to notice.

    A factor of 0 stands for never.
    """
    if usual is None or not factor:
        return False
    return duration > usual * factor and duration - usual >= SLOW_MARGIN


def certificate_stage(*, expires_at: datetime, now: datetime) -> int:
    """Return how many of CERTIFICATE_DAYS have been reached; 0 for a certificate that lasts."""
    return sum(expires_at - now <= timedelta(days=days) for days in CERTIFICATE_DAYS)


def outage_stage(*, since_at: datetime, now: datetime) -> int:
    """Return in which hour QRS is out of reach; 0 within the first moments."""
    return 0 if now - since_at < QRS_PATIENCE else 1 + (now - since_at) // timedelta(hours=1)


# From what was found to what is the matter


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose matter it is, as messages name it.

    `key` tells subjects apart; `schedule_pk` is None for what is no schedule's.
    """

    key: str
    name: str
    schedule_pk: int | None = None
    schedule_id: str = ""
    task_id: str = ""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something bad about a subject at an instant, or that it is well.

    `run_id` makes it count once. Of what goes on `stage` says how often it should have been told, instead of a count.
    """

    event: AlertEvent
    subject: Subject
    is_bad: bool
    at: datetime
    run_id: UUID | None = None
    state: str = ""
    due_at: datetime | None = None
    what: str = ""
    advice: str = ""
    number: int = 1
    stage: int = 0

    @property
    def key(self) -> Key:
        """What makes it one matter with others."""
        return self.event, self.subject.key


@dataclass(frozen=True, slots=True)
class Matter:
    """What is, or was, the matter: since when, how often, and the last time."""

    since_at: datetime
    last_at: datetime
    count: int
    ended_at: datetime | None = None
    last: Finding | None = None


def fold_findings(open_matters: Mapping[Key, Matter], findings: Iterable[Finding]) -> dict[Key, Matter]:
    """Return the matters that the findings begin, go on with or end.

    The order of the findings does not count, only their instants: what is well ends what was bad before it. So one that
    is read again changes nothing, as long as the bad ones are left out that were read before.
    """
    by_key: defaultdict[Key, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_key[finding.key].append(finding)
    changed = {}
    for key, found in by_key.items():
        before = open_matters.get(key)
        after = _fold(before, found)
        if after is not None and after != before:
            changed[key] = after
    return changed


def _fold(before: Matter | None, found: Sequence[Finding]) -> Matter | None:
    bad = sorted((finding for finding in found if finding.is_bad), key=lambda finding: finding.at)
    matter = before
    if bad:
        first, last = bad[0], bad[-1]
        count = (before.count if before else 0) + sum(finding.number for finding in bad if not finding.stage)
        count = max([count, *(finding.stage for finding in bad)])
        since_at = min(before.since_at, first.at) if before else first.at
        is_news = before is None or count > before.count
        if is_news:
            matter = Matter(since_at, max(before.last_at, last.at) if before else last.at, count, last=last)
    if matter is None:
        return None
    ends = [finding.at for finding in found if not finding.is_bad and finding.at > matter.last_at]
    return Matter(matter.since_at, matter.last_at, matter.count, min(ends), matter.last) if ends else matter


# From what is the matter to what is told


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel has been told of a matter: when last, and how often it had happened by then."""

    at: datetime
    count: int
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A matter as one channel sees it; `told` is None before the first message."""

    id: int
    event: AlertEvent
    count: int
    has_ended: bool
    state: str = ""
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """One message to be: the matters that it tells of, either that they are bad or that they are well again."""

    event: AlertEvent
    is_recovery: bool
    ids: tuple[int, ...]


def wants(event: AlertEvent, *, events: AbstractSet[str], is_filtered: bool, fits: bool) -> bool:
    """Return whether a channel is to hear of an event at all.

    No `events` are all events. A channel that is filtered, by tags or schedules, hears of what `fits` and nothing of
    the site.
    """
    if events and event not in events:
        return False
    return not is_filtered if event in SITE_EVENTS else fits or not is_filtered


def choose_tellings(
    items: Iterable[Item],
    *,
    now: datetime,
    quiet: timedelta,
    tells_recovery: bool,
    sent: Mapping[Kind, Sequence[datetime]],
    unsent: AbstractSet[Kind],
) -> list[Telling]:
    """Return the messages that one channel is to get now.

    Matters of a kind share a message. A kind waits while an earlier message of it waits to be sent, and while `sent`,
    the moments of the earlier ones, are too near; what waits is told later, all of it.
    """
    chosen: defaultdict[Kind, list[int]] = defaultdict(list)
    listed = list(items)
    is_out_of_reach = any(item.event == AlertEvent.QRS_UNREACHABLE and not item.has_ended for item in listed)
    for item in listed:
        if is_out_of_reach and (item.event == AlertEvent.LATE or item.state == "unreachable"):
            # One message says it for all; which starts have failed or are late is told when QRS is back
            continue
        if (is_recovery := _next_to_tell(item, now=now, quiet=quiet, tells_recovery=tells_recovery)) is not None:
            chosen[item.event, is_recovery].append(item.id)
    free = (kind for kind in sorted(chosen) if kind not in unsent and not is_too_soon(now, sent.get(kind, ())))
    return [
        Telling(*kind, tuple(chosen[kind])) for kind in sorted(free, key=lambda kind: list(AlertEvent).index(kind[0]))
    ]


def is_settled(item: Item, *, tells_recovery: bool) -> bool:
    """Return whether nothing of an ended matter is left to tell."""
    return item.has_ended and item.told is not None and (item.told.is_done or not tells_recovery)


def _next_to_tell(item: Item, *, now: datetime, quiet: timedelta, tells_recovery: bool) -> bool | None:
    """Return whether its end is to be told; None when nothing of it is."""
    if item.told is None:
        return False
    if item.has_ended:
        return True if tells_recovery and not item.told.is_done else None
    return False if item.count > item.told.count and now - item.told.at >= quiet else None


def is_too_soon(now: datetime, sent: Sequence[datetime]) -> bool:
    """Return whether a message of a kind would follow too closely after those that were sent of it."""
    recent = [moment for moment in sent if now - moment < PACE_WINDOW]
    if not recent:
        return False
    return now - max(recent) < _double(SHORTEST_GAP, times=len(recent) - 1, most=LONGEST_GAP)


def next_try_at(now: datetime, *, attempts: int, created_at: datetime) -> datetime | None:
    """Return when a message that could not be sent, `attempts` times by now, is tried again; None for never."""
    if now - created_at >= GIVE_UP_AFTER:
        return None
    return now + _double(FIRST_RETRY, times=attempts - 1, most=LONGEST_RETRY)


def _double(span: timedelta, *, times: int, most: timedelta) -> timedelta:
    # More would overflow long after it was cut off
    factor: int = 2 ** min(times, 10)
    return min(span * factor, most)
