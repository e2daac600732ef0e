"""The load to come: it is what the timetables say, one by one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from schedules import forecast as module
from schedules.forecast import Per, forecast_load
from schedules.models import Schedule
from schedules.periods import PeriodError

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 10, 24, 21, 30, 17, 250_000, tzinfo=UTC)
#: The night in which Stockholm's clocks are set back lies in it
FROM, UNTIL = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fixed_now(monkeypatch):
    monkeypatch.setattr(module.timezone, "now", lambda: NOW)


def put(schedule: Schedule, **values: object) -> Schedule:
    """Give a saved schedule values past the rules of the services."""
    Schedule.objects.filter(pk=schedule.pk).update(**values)
    schedule.refresh_from_db()
    return schedule


@pytest.fixture
def site(make_schedule) -> list[Schedule]:
    """Schedules with everything that decides when they are due."""
    return [
        make_schedule(title="minutes"),
        make_schedule(title="again", cron_schedule="*/5 * * * *"),
        make_schedule(title="night", cron_schedule="30 2 * * *"),
        make_schedule(title="seconds", cron_schedule="*/20 * 1-3 * * *", timezone="America/New_York"),
        make_schedule(title="jitter", cron_schedule="0 * * * *", jitter=timedelta(hours=2)),
        make_schedule(title="begins", starts_at=FROM + timedelta(hours=3, seconds=30)),
        make_schedule(title="ends", ends_at=FROM + timedelta(hours=4), timezone="Asia/Kolkata"),
        make_schedule(title="holiday", excluded_dates=["2026-10-25"]),
        put(make_schedule(title="paused"), paused_until=FROM + timedelta(hours=5, microseconds=500)),
        put(make_schedule(title="nearly done"), max_runs=200, runs_planned=90),
        put(make_schedule(title="done"), max_runs=5, runs_planned=5),
        put(make_schedule(title="both"), max_runs=10, paused_until=FROM + timedelta(hours=1)),
        make_schedule(title="stopped", startup_state="stopped"),
    ]


def due_one_by_one(schedule: Schedule) -> list[int]:
    """Return when a schedule starts in the period, by its timetable alone."""
    if not schedule.enabled:
        return []
    paused = schedule.paused_until.timestamp() if schedule.paused_until else 0
    counted_from = min(FROM.timestamp() - 1, NOW.timestamp()) if schedule.max_runs is None else NOW.timestamp()
    due = list(schedule.timetable.between(max(counted_from, paused), UNTIL.timestamp() - 1))
    if schedule.max_runs is not None:
        due = due[: schedule.max_runs - schedule.runs_planned]
    return [instant for instant in due if instant >= FROM.timestamp()]


@pytest.mark.parametrize("per", list(Per))
def test_it_has_what_the_timetables_have_one_by_one(site, per):
    until = FROM + timedelta(days=1) if per is Per.SECOND else UNTIL
    instants = [due for schedule in site for due in due_one_by_one(schedule) if due < until.timestamp()]

    forecast = forecast_load(from_at=FROM, until_at=until, per=per)

    expected = Counter((due - int(FROM.timestamp())) // per.seconds for due in instants)
    assert {place: number for place, number in enumerate(forecast.counts) if number} == expected
    assert len(forecast.counts) == (until - FROM).total_seconds() / per.seconds
    assert (forecast.starts, forecast.schedules, forecast.broken) == (len(instants), 12, [])


def test_it_names_the_schedules_behind_the_peaks(site):
    instants = Counter(due for schedule in site for due in due_one_by_one(schedule))
    busiest, starts = max(instants.items(), key=lambda item: (item[1], -item[0]))

    forecast = forecast_load(from_at=FROM, until_at=UNTIL, per=Per.MINUTE)

    second, minute = forecast.busiest_seconds[0], forecast.busiest_minutes[0]
    assert (second.at.timestamp(), second.starts) == (busiest, starts)
    assert {share.title for share in second.shares} == {s.title for s in site if busiest in due_one_by_one(s)}
    assert minute.starts == max(forecast.counts)
    assert minute.starts == sum(share.starts for share in minute.shares)
    assert minute.at == FROM + timedelta(minutes=forecast.counts.index(minute.starts))
    assert (minute.shares[0].title, minute.shares[0].starts) == ("seconds", 3)
    assert [peak.starts for peak in forecast.busiest_minutes] == sorted(forecast.counts, reverse=True)[:5]


def test_of_many_schedules_behind_a_peak_some_are_named(make_schedule, monkeypatch):
    monkeypatch.setattr(module, "NAMES_SHOWN", 2)
    for title in ("c", "a", "b"):
        make_schedule(title=title)

    (peak, *_) = forecast_load(from_at=FROM, until_at=UNTIL).busiest_seconds

    assert (peak.starts, peak.schedules, [share.title for share in peak.shares]) == (3, 3, ["a", "b"])


def test_a_broken_schedule_is_left_out_and_named(make_schedule):
    sound, broken = make_schedule(), put(make_schedule(), cron_schedule="nonsense")

    forecast = forecast_load(from_at=FROM, until_at=FROM + timedelta(hours=1))

    assert (forecast.starts, forecast.schedules, forecast.broken) == (60, 1, [broken.name])
    assert forecast.busiest_seconds[0].shares[0].name == sound.name


def test_by_default_it_is_the_day_to_come_in_whole_minutes(make_schedule):
    make_schedule(cron_schedule="30 * * * *")

    forecast = forecast_load()

    assert (forecast.from_at, forecast.per) == (NOW.replace(second=0, microsecond=0), "minute")
    assert forecast.until_at == forecast.from_at + timedelta(days=1)
    assert forecast.starts == 24


def test_without_schedules_there_is_nothing():
    forecast = forecast_load(from_at=FROM, until_at=UNTIL, per=Per.HOUR)

    assert (set(forecast.counts), forecast.busiest_seconds, forecast.busiest_minutes) == ({0}, [], [])


@pytest.mark.parametrize(
    ("per", "days", "advice"),
    [(Per.SECOND, 1, "or count per minute"), (Per.MINUTE, 8, "or count per hour"), (Per.HOUR, 31, "earlier until.")],
)
def test_a_stretch_that_is_too_long_is_refused_with_advice(per, days, advice):
    forecast_load(from_at=NOW, until_at=NOW + timedelta(days=days), per=per)

    with pytest.raises(PeriodError, match=f"at most {days} can be forecast.*{advice}"):
        forecast_load(from_at=NOW, until_at=NOW + timedelta(days=days, hours=2.4), per=per)


def test_an_end_before_the_beginning_is_refused():
    with pytest.raises(PeriodError, match="2026-10-24T22:00:00Z is before from, 2026-10-26T00:00:00Z"):
        forecast_load(from_at=UNTIL, until_at=FROM)


def test_it_takes_one_query(site):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        forecast_load(from_at=FROM, until_at=UNTIL)

    assert len(queries) == 1
