"""What deserves an alert, and how often it is told: tables, and properties that hold whatever comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.alert_rules import (
    GIVE_UP_AFTER,
    LONGEST_GAP,
    LONGEST_RETRY,
    AlertEvent,
    Finding,
    Item,
    Matter,
    RunFacts,
    Subject,
    Told,
    certificate_stage,
    choose_tellings,
    fold_findings,
    is_settled,
    is_slow,
    is_too_soon,
    judge_run,
    next_try_at,
    outage_stage,
    usual_duration,
    wants,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
START, RELOAD, MISSED = AlertEvent.START_FAILED, AlertEvent.RELOAD_FAILED, AlertEvent.MISSED
LATE, SLOW, OUTAGE = AlertEvent.LATE, AlertEvent.SLOW, AlertEvent.QRS_UNREACHABLE


def run(state: str, **values: object) -> RunFacts:
    """Return a run that was called on time."""
    given = {"reason": "scheduled", "message": "", "due_at": NOON, "called_at": NOON, "grace": MINUTE} | values
    return RunFacts(state=state, **given)


@pytest.mark.parametrize(
    ("facts", "verdicts"),
    [
        (run("refused"), {START: True}),
        (run("unreachable"), {START: True}),
        (run("unknown"), {START: True}),
        (run("started"), {START: False, MISSED: False, LATE: False}),
        (run("succeeded"), {START: False, RELOAD: False, MISSED: False, LATE: False}),
        (run("failed"), {START: False, RELOAD: True, MISSED: False, LATE: False}),
        (run("aborted"), {START: False, RELOAD: True, MISSED: False, LATE: False}),
        (run("skipped", called_at=None, message="Misfire: beat was not planning when it was due."), {MISSED: True}),
        (run("skipped", called_at=None, message="Paused until 2026-11-24 12:00:00 UTC."), {}),
        (run("skipped", called_at=None, message="Maintenance: Misfire: is only a word here."), {}),
        (run("started", called_at=NOON + MINUTE), {START: False, MISSED: False, LATE: False}),
        (run("started", called_at=NOON + 1.02 * MINUTE), {START: False, MISSED: False, LATE: True}),
        (run("unreachable", called_at=NOON + HOUR), {START: True}),
        (run("started", called_at=NOON + HOUR, reason="manual"), {START: False, MISSED: False}),
        (run("started", called_at=NOON + HOUR, reason="backfill"), {START: False, MISSED: False}),
        (run("started", called_at=NOON + HOUR, reason="catch-up"), {START: False, MISSED: False, LATE: True}),
        (run("started", called_at=NOON + HOUR, grace=None), {START: False, MISSED: False}),
        (
            run("succeeded", duration=HOUR, usual=10 * MINUTE),
            {START: False, RELOAD: False, MISSED: False, LATE: False, SLOW: True},
        ),
        (
            run("succeeded", duration=HOUR, usual=30 * MINUTE),
            {START: False, RELOAD: False, MISSED: False, LATE: False, SLOW: False},
        ),
        (run("planned"), {}),
        (run("a state of a later version"), {}),
    ],
)
def test_what_a_closed_run_says(facts, verdicts):
    assert dict(judge_run(facts, slow_factor=3)) == verdicts


@pytest.mark.parametrize(
    ("seconds", "usual", "factor", "slow"),
    [
        (301, 100, 3, True),
        (300, 100, 3, False),
        (50, 10, 3, False),
        (69, 10, 3, False),
        (70, 10, 3, True),
        (9999, 10, 0, False),
        (9999, None, 3, False),
    ],
)
def test_slow_is_a_multiple_of_the_usual_and_a_minute_more(seconds, usual, factor, slow):
    known = None if usual is None else timedelta(seconds=usual)

    assert is_slow(timedelta(seconds=seconds), usual=known, factor=factor) is slow


def test_usual_is_the_median_of_at_least_five():
    assert usual_duration([MINUTE] * 4) is None
    assert usual_duration([MINUTE, HOUR, 2 * MINUTE, 3 * MINUTE, MINUTE]) == 2 * MINUTE


@pytest.mark.parametrize(
    ("days", "stage"), [(31, 0), (30.01, 0), (30, 1), (14, 2), (6.9, 3), (3, 4), (1.5, 5), (0.5, 6), (0, 7), (-9, 7)]
)
def test_a_certificate_is_told_of_again_as_its_end_comes_near(days, stage):
    assert certificate_stage(expires_at=NOON + timedelta(days=days), now=NOON) == stage


@pytest.mark.parametrize(("minutes", "stage"), [(0, 0), (0.9, 0), (1, 1), (59, 1), (60, 2), (185, 4)])
def test_an_outage_is_told_after_a_minute_and_with_each_hour(minutes, stage):
    assert outage_stage(since_at=NOON - minutes * MINUTE, now=NOON) == stage


# From findings to matters

SUBJECT = Subject("schedule 1", "Morning load")
KEY = (START, SUBJECT.key)


def found(minute: float, *, is_bad: bool, event: AlertEvent = START, **values: object) -> Finding:
    return Finding(event, SUBJECT, is_bad=is_bad, at=NOON + minute * MINUTE, run_id=UUID(int=int(minute)), **values)


def test_a_matter_begins_goes_on_and_ends():
    (begun,) = fold_findings({}, [found(1, is_bad=True), found(2, is_bad=True)]).values()
    assert (begun.since_at, begun.last_at, begun.count, begun.ended_at) == (NOON + MINUTE, NOON + 2 * MINUTE, 2, None)

    (gone_on,) = fold_findings({KEY: begun}, [found(3, is_bad=True)]).values()
    assert (gone_on.since_at, gone_on.count) == (NOON + MINUTE, 3)

    (ended,) = fold_findings({KEY: gone_on}, [found(9, is_bad=False), found(5, is_bad=False)]).values()
    assert (ended.count, ended.ended_at) == (3, NOON + 5 * MINUTE)


def test_what_is_well_and_was_changes_nothing():
    assert fold_findings({}, [found(1, is_bad=False)]) == {}


def test_what_was_well_before_does_not_end_what_is_bad_since():
    matter = Matter(NOON + 2 * MINUTE, NOON + 2 * MINUTE, 1)

    assert fold_findings({KEY: matter}, [found(1, is_bad=False), found(2, is_bad=False)]) == {}


def test_one_row_that_stands_for_many_counts_them_all():
    (matter,) = fold_findings({}, [found(1, is_bad=True, number=69)]).values()

    assert matter.count == 69


def test_what_goes_on_counts_by_its_stage():
    matter = Matter(NOON, NOON, 1)

    assert fold_findings({KEY: matter}, [found(5, is_bad=True, stage=1)]) == {}
    (changed,) = fold_findings({KEY: matter}, [found(6, is_bad=True, stage=2)]).values()
    assert (changed.since_at, changed.count) == (NOON, 2)


FINDINGS = st.lists(
    st.builds(
        lambda minute, is_bad, event: found(minute, is_bad=is_bad, event=event),
        st.integers(0, 50),
        st.booleans(),
        st.sampled_from([START, RELOAD]),
    ),
    unique_by=lambda finding: (finding.event, finding.at),
    max_size=12,
)


@given(FINDINGS, st.randoms())
def test_the_order_of_findings_does_not_count(findings, random):
    shuffled = list(findings)
    random.shuffle(shuffled)

    assert fold_findings({}, shuffled) == fold_findings({}, findings)


@given(FINDINGS)
def test_a_matter_is_open_where_the_last_word_is_bad(findings):
    matters = fold_findings({}, findings)

    for event in (START, RELOAD):
        of_event = sorted((f for f in findings if f.event == event), key=lambda f: f.at)
        if not any(f.is_bad for f in of_event):
            assert (event, SUBJECT.key) not in matters
        else:
            assert (matters[event, SUBJECT.key].ended_at is None) is of_event[-1].is_bad


@given(FINDINGS, st.integers(0, 12))
def test_two_looks_find_what_one_finds_where_nothing_ended_between(findings, cut):
    findings = [f for f in findings if f.is_bad]
    first = fold_findings({}, findings[:cut])
    both = first | fold_findings(first, findings[cut:])

    assert {key: (m.since_at, m.last_at, m.count) for key, m in both.items()} == {
        key: (m.since_at, m.last_at, m.count) for key, m in fold_findings({}, findings).items()
    }


# From matters to messages


def item(pk: int, *, event: AlertEvent = START, count: int = 1, told: Told | None = None, **values: object) -> Item:
    return Item(pk, event, count, **({"has_ended": False} | values), told=told)


def tell(*items: Item, minute: float = 0, **values: object) -> list[tuple[AlertEvent, bool, tuple[int, ...]]]:
    given = {"quiet": HOUR, "tells_recovery": True, "sent": {}, "unsent": frozenset()} | values
    tellings = choose_tellings(items, now=NOON + minute * MINUTE, **given)
    return [(telling.event, telling.is_recovery, telling.ids) for telling in tellings]


def test_matters_of_a_kind_share_a_message():
    items = [item(1), item(2), item(3, event=RELOAD), item(4, has_ended=True, told=Told(NOON, 1))]

    assert tell(*items) == [(START, False, (1, 2)), (START, True, (4,)), (RELOAD, False, (3,))]


@pytest.mark.parametrize(
    ("count", "minute", "again"), [(1, 0, False), (5, 59, False), (5, 60, True), (1, 600, False), (2, 600, True)]
)
def test_what_goes_on_is_told_again_after_the_quiet_time_where_there_is_news(count, minute, again):
    assert bool(tell(item(1, count=count, told=Told(NOON, 1)), minute=minute)) is again


def test_the_end_is_told_once_at_once_and_only_to_whom_it_concerns():
    ended = item(1, has_ended=True, told=Told(NOON, 1))
    known = item(1, has_ended=True, told=Told(NOON, 1, is_done=True))

    assert tell(ended) == [(START, True, (1,))]
    assert tell(ended, tells_recovery=False) == []
    assert tell(known) == []
    assert [is_settled(each, tells_recovery=True) for each in (ended, known)] == [False, True]
    assert is_settled(ended, tells_recovery=False)


def test_what_was_over_before_it_was_told_is_told_as_bad():
    over = item(1, has_ended=True)

    assert tell(over) == [(START, False, (1,))]
    assert not is_settled(over, tells_recovery=False)


def test_while_qrs_is_out_of_reach_starts_that_did_not_reach_it_wait():
    items = [item(1, event=OUTAGE), item(2, state="unreachable"), item(3, state="refused"), item(4, event=LATE)]
    back = item(1, event=OUTAGE, has_ended=True, told=Told(NOON, 1))

    assert tell(*items) == [(OUTAGE, False, (1,)), (START, False, (3,))]
    assert tell(items[1]) == [(START, False, (2,))]
    assert tell(back, items[1]) == [(OUTAGE, True, (1,)), (START, False, (2,))]


def test_a_kind_waits_for_its_message_that_waits_and_after_one_just_sent():
    items = [item(1), item(2, event=RELOAD)]

    assert tell(*items, unsent=frozenset({(START, False)})) == [(RELOAD, False, (2,))]
    assert tell(*items, sent={(START, False): [NOON]}, minute=0.5) == [(RELOAD, False, (2,))]
    assert tell(*items, sent={(START, True): [NOON]}, minute=0.5) == tell(*items)


@given(st.lists(st.floats(0, 600), max_size=200).map(sorted))
def test_however_much_there_is_an_hour_has_few_messages_of_a_kind(minutes):
    sent: list[datetime] = []
    for minute in minutes:
        now = NOON + minute * MINUTE
        if not is_too_soon(now, sent):
            sent.append(now)

    assert all(sum(0 <= (other - first) / HOUR < 1 for other in sent) <= 10 for first in sent)
    assert all(later - earlier >= MINUTE for earlier, later in pairwise(sent))
    assert not sent or not is_too_soon(sent[-1] + LONGEST_GAP, sent)


@given(st.integers(1, 100_000), st.floats(0, 1439))
def test_a_message_is_tried_again_later_each_time_and_at_least_hourly(attempts, minute):
    now = NOON + minute * MINUTE
    again_at, then = (next_try_at(now, attempts=attempts + more, created_at=NOON) for more in (0, 1))

    assert now + MINUTE <= again_at <= then <= now + LONGEST_RETRY


def test_a_message_is_given_up_after_a_day():
    assert next_try_at(NOON + GIVE_UP_AFTER, attempts=3, created_at=NOON) is None


@pytest.mark.parametrize(
    ("event", "events", "is_filtered", "fits", "wanted"),
    [
        (START, set(), False, False, True),
        (START, {"start-failed"}, False, False, True),
        (START, {"late"}, False, False, False),
        (START, set(), True, True, True),
        (START, set(), True, False, False),
        (OUTAGE, set(), False, False, True),
        (OUTAGE, set(), True, True, False),
    ],
)
def test_who_hears_of_what(event, events, is_filtered, fits, wanted):
    assert wants(event, events=events, is_filtered=is_filtered, fits=fits) is wanted
