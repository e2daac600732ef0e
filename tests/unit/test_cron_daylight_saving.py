"""Debian's rule for clocks that are set, by tables; March and October side by side where there are two."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.cron import CronExpression
from tests.unit.cron_oracle import Walk

STOCKHOLM = "Europe/Stockholm"


def window(zone: ZoneInfo, start: str, end: str) -> tuple[datetime, datetime]:
    """Return the moments at which the clocks of `zone` first show `start` and `end`."""
    return datetime.fromisoformat(start).replace(tzinfo=zone), datetime.fromisoformat(end).replace(tzinfo=zone)


def runs(text: str, *, key: str, start: str, end: str) -> list[str]:
    """Return local time and offset of the occurrences from `start` up to `end`, after asking the oracle too."""
    zone = ZoneInfo(key)
    first, last = window(zone, start, end)
    expression = CronExpression.parse(text)
    found = []
    moment = expression.next_after(first - timedelta(microseconds=1), zone)
    while moment is not None and moment < last:
        found.append(moment)
        moment = expression.next_after(moment, zone)
    step = 60 if len(text.split()) == 5 else 1
    walk = Walk(zone, start=int(first.timestamp()), end=int(last.timestamp()), step=step)
    assert walk.firing(text) == [int(moment.timestamp()) for moment in found]
    return [f"{moment.astimezone(zone):%d %H:%M:%S %z}".replace(":00 ", " ") for moment in found]


@pytest.mark.parametrize(
    ("text", "march", "october"),
    [
        ("30 2 * * *", ["29 03:00 +0200"], ["25 02:30 +0200"]),
        ("0 30 2 * * *", ["29 03:00 +0200"], ["25 02:30 +0200"]),
        ("15,30,45 2 * * *", ["29 03:00 +0200"], ["25 02:15 +0200", "25 02:30 +0200", "25 02:45 +0200"]),
        ("20,40 30 2 * * *", ["29 03:00 +0200"], ["25 02:30:20 +0200", "25 02:30:40 +0200"]),
        ("0 3 * * *", ["29 03:00 +0200"], ["25 03:00 +0100"]),
        ("0 2,3 * * *", ["29 03:00 +0200"], ["25 02:00 +0200", "25 03:00 +0100"]),
        ("5 2,3 * * *", ["29 03:00 +0200", "29 03:05 +0200"], ["25 02:05 +0200", "25 03:05 +0100"]),
        (
            "30 1-4 * * *",
            ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200", "29 04:30 +0200"],
            ["25 01:30 +0200", "25 02:30 +0200", "25 03:30 +0100", "25 04:30 +0100"],
        ),
        ("*/30 2 * * *", [], ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"]),
        ("*/30 30 2 * * *", ["29 03:00 +0200"], ["25 02:30 +0200", "25 02:30:30 +0200"]),
        ("0 30 */2 * * *", ["29 00:30 +0100", "29 04:30 +0200"], None),
    ],
)
def test_it_fires_in_stockholm_as_checked(text: str, march: list[str], october: list[str] | None) -> None:
    assert runs(text, key=STOCKHOLM, start="2026-03-29 00:00", end="2026-03-29 06:00") == march
    october = october or ["25 00:30 +0200", "25 02:30 +0200", "25 02:30 +0100", "25 04:30 +0100"]
    assert runs(text, key=STOCKHOLM, start="2026-10-25 00:00", end="2026-10-25 06:00") == october


@pytest.mark.parametrize(
    ("text", "march", "october"),
    [
        ("30 2 * * *", 1, 1),
        ("30 1-4 * * *", 4, 4),
        ("0 * * * *", 5, 7),
        ("*/15 * * * *", 20, 28),
        ("0 0 * * * *", 5, 7),
        ("0 */15 * * * *", 20, 28),
        ("*/30 * * * * *", 600, 840),
        ("0 0-23 * * *", 5, 6),
    ],
)
def test_it_fires_as_often_as_checked_in_stockholm(text: str, march: int, october: int) -> None:
    assert len(runs(text, key=STOCKHOLM, start="2026-03-29 00:00", end="2026-03-29 06:00")) == march
    assert len(runs(text, key=STOCKHOLM, start="2026-10-25 00:00", end="2026-10-25 06:00")) == october


def test_half_an_hour_is_missing_and_repeated_on_lord_howe() -> None:
    key = "Australia/Lord_Howe"
    april = {"key": key, "start": "2026-04-05 00:00", "end": "2026-04-05 06:00"}
    october = {"key": key, "start": "2026-10-04 00:00", "end": "2026-10-04 06:00"}
    assert len(runs("0 * * * *", **april)) == 6
    assert runs("45 1 * * *", **april) == ["05 01:45 +1100"]
    assert runs("*/15 1 * * *", **april) == [
        *("05 01:00 +1100", "05 01:15 +1100", "05 01:30 +1100", "05 01:45 +1100"),
        *("05 01:30 +1030", "05 01:45 +1030"),
    ]
    assert len(runs("0 * * * *", **october)) == 5
    assert runs("15 2 * * *", **october) == ["04 02:30 +1100"]
    assert runs("0,15,29,31 2 * * *", **october) == ["04 02:30 +1100", "04 02:31 +1100"]


def test_a_repeated_hour_is_remembered_to_its_end() -> None:
    # From 03:00 to 02:00; the zone's spans are kept in blocks, and one ends at 02:53:12 of the second pass.
    adelaide = {"key": "Australia/Adelaide", "start": "2016-04-03 00:00", "end": "2016-04-03 05:00"}
    assert runs("55 2 * * *", **adelaide) == ["03 02:55 +1030"]
    assert runs("55 * * * *", **adelaide)[2:4] == ["03 02:55 +1030", "03 02:55 +0930"]


def test_two_hours_are_missing_and_repeated_in_troll() -> None:
    key = "Antarctica/Troll"
    assert runs("30 1-3 * * *", key=key, start="2026-03-29 00:00", end="2026-03-29 05:00") == [
        *("29 03:00 +0200", "29 03:30 +0200"),
    ]
    assert runs("30 1-3 * * *", key=key, start="2026-10-25 00:00", end="2026-10-25 05:00") == [
        *("25 01:30 +0200", "25 02:30 +0200", "25 03:30 +0000"),
    ]
    assert len(runs("30 * * * *", key=key, start="2026-10-25 00:00", end="2026-10-25 05:00")) == 7


def test_midnight_is_missing_and_repeated_in_sao_paulo() -> None:
    key = "America/Sao_Paulo"
    november = {"key": key, "start": "2018-11-03 23:00", "end": "2018-11-04 03:00"}
    assert runs("0 0 * * *", **november) == ["04 01:00 -0200"]
    assert runs("59 59 23 * * *", **november) == ["03 23:59:59 -0300"]
    assert runs("30 0 * * sun", **november) == ["04 01:00 -0200"]
    assert runs("30 0 * * sat", **november) == []
    assert runs("30 0 4 11 *", **november) == ["04 01:00 -0200"]
    assert runs("*/30 0 * * *", **november) == []
    february = {"key": key, "start": "2018-02-17 22:00", "end": "2018-02-18 02:00"}
    assert runs("30 23 * * sat", **february) == ["17 23:30 -0200"]
    assert runs("30 * * * sat", **february) == ["17 22:30 -0200", "17 23:30 -0200", "17 23:30 -0300"]
    assert runs("0 0 * * *", **february) == ["18 00:00 -0300"]


def test_a_gap_across_midnight_fires_for_the_day_that_it_cuts_short() -> None:
    # Toronto, 1919-03-30: from 23:30 to 00:30 of the next day.
    toronto = {"key": "America/Toronto", "start": "1919-03-30 23:00", "end": "1919-03-31 02:00"}
    assert runs("45 23 30 3 *", **toronto) == ["31 00:30 -0400"]
    assert runs("45 23 * * sun", **toronto) == ["31 00:30 -0400"]
    assert runs("15 0 * * mon", **toronto) == ["31 00:30 -0400"]
    assert runs("45 23 * * mon", **toronto) == []
    assert runs("*/15 * * * *", **toronto) == [
        *("30 23:00 -0500", "30 23:15 -0500", "31 00:30 -0400", "31 00:45 -0400"),
        *("31 01:00 -0400", "31 01:15 -0400", "31 01:30 -0400", "31 01:45 -0400"),
    ]


def test_a_whole_day_is_missing_in_apia() -> None:
    apia = {"key": "Pacific/Apia", "start": "2011-12-29 00:00", "end": "2012-01-01 00:00"}
    assert runs("0 6 * * *", **apia) == ["29 06:00 -1000", "31 00:00 +1400", "31 06:00 +1400"]
    assert runs("0 0 * * *", **apia) == ["29 00:00 -1000", "31 00:00 +1400"]
    assert runs("0 6,12 30 12 *", **apia) == ["31 00:00 +1400"]
    assert runs("0 6 * * fri", **apia) == ["31 00:00 +1400"]
    assert runs("0 */6 30 12 *", **apia) == []
    assert len(runs("0 * * * *", **apia)) == 48


def test_a_whole_day_is_repeated_in_kwajalein_of_1969() -> None:
    kwajalein = {"key": "Pacific/Kwajalein", "start": "1969-09-30 12:00", "end": "1969-10-01 12:00"}
    assert runs("0 6 * * *", **kwajalein) == ["01 06:00 -1200"]
    assert len(runs("0 * * * *", **kwajalein)) == 47


def test_dublin_with_its_negative_winter_time_behaves_as_london_does() -> None:
    for text in ("30 1 * * *", "*/10 * * * *", "0 * * * *"):
        for day in ("2026-03-29", "2026-10-25"):
            dublin, london = (
                runs(text, key=key, start=f"{day} 00:00", end=f"{day} 05:00")
                for key in ("Europe/Dublin", "Europe/London")
            )
            assert dublin == london


def test_casablanca_sets_its_clocks_for_ramadan() -> None:
    key = "Africa/Casablanca"
    february = {"key": key, "start": "2026-02-15 00:00", "end": "2026-02-15 05:00"}
    assert runs("30 2 * * *", **february) == ["15 02:30 +0100"]
    assert runs("30 * * * *", **february)[1:4] == ["15 01:30 +0100", "15 02:30 +0100", "15 02:30 +0000"]
    march = {"key": key, "start": "2026-03-22 00:00", "end": "2026-03-22 05:00"}
    assert runs("30 2 * * *", **march) == ["22 03:00 +0100"]
    assert len(runs("30 * * * *", **march)) == 4


def test_monrovia_leaves_out_three_quarters_of_an_hour_less_half_a_minute() -> None:
    # 1972-01-07: from 00:00:00 at -0:44:30 to 00:44:30 at +0:00.
    monrovia = {"key": "Africa/Monrovia", "start": "1972-01-06 23:00", "end": "1972-01-07 02:00"}
    assert runs("30 0 * * * *", **monrovia)[0] == "06 23:00:30 -004430"
    assert runs("0 0 0 * * *", **monrovia) == ["07 00:44:30 +0000"]
    assert runs("29 44 0 * * *", **monrovia) == ["07 00:44:30 +0000"]
    assert runs("30,31 44 0 * * *", **monrovia) == ["07 00:44:30 +0000", "07 00:44:31 +0000"]
    assert runs("*/30 44 * * * *", **monrovia)[-4:-2] == ["06 23:44:30 -004430", "07 00:44:30 +0000"]


def test_a_zone_that_moves_for_good_repeats_no_fixed_time() -> None:
    # Pyongyang left +0900 for +0830 on 2015-08-15 at 00:00, and came back on 2018-05-04 at 23:30.
    key = "Asia/Pyongyang"
    assert runs("45 23 * * *", key=key, start="2015-08-14 22:00", end="2015-08-15 03:00") == ["14 23:45 +0900"]
    assert len(runs("45 * * * *", key=key, start="2015-08-14 22:00", end="2015-08-15 03:00")) == 6
    assert runs("45 23 * * *", key=key, start="2018-05-04 22:00", end="2018-05-05 03:00") == ["05 00:00 +0900"]


def test_no_clock_is_set_where_only_the_name_of_the_time_changes() -> None:
    # Lisbon called +0100 summer time until 1992-09-27 at 01:00 UTC, and Central European Time from then on.
    lisbon = {"key": "Europe/Lisbon", "start": "1992-09-27 00:00", "end": "1992-09-27 06:00"}
    assert runs("0 * * * *", **lisbon) == runs("0 0-23 * * *", **lisbon)
    assert len(runs("0 * * * *", **lisbon)) == 6


@pytest.mark.parametrize("key", ["UTC", "Etc/GMT+12", "Etc/GMT-14", "Factory"])
def test_zones_without_changes_fire_by_the_clock(key: str) -> None:
    assert runs("30 2 * * *", key=key, start="2026-03-29 00:00", end="2026-03-31 00:00") == [
        f"{day} 02:30 {datetime(2026, 3, 29, tzinfo=ZoneInfo(key)):%z}" for day in (29, 30)
    ]
