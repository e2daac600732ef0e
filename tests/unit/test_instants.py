"""Instants as people and clients write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schedules.instants import parse_instant

MOMENT = datetime(2026, 12, 1, 6, tzinfo=UTC)

ODD = [
    "2026-12-01x06:00:00Z",
    "2026-12-01_06:00:00Z",
    "2026-12-01  06:00:00Z",
    "2026-12-01\t06:00:00Z",
    "2026-12-01\u00a006:00:00Z",
    "2026-12-01/06:00:00Z",
    "2026-12-0106:00:00Z",
    "2026-12-01T06:00:00 Z",
    "2026-W49-2T06:00:00Z",
    "2026W492T06:00:00Z",
    "2026-335T06:00:00Z",
    "2026335T060000Z",
    "20261201T060000Z",
    "20261201",
    "2026-12-01T0600Z",
    "2026-12-01T06Z",
    "2026-12T06:00:00Z",
    "2026-12-01T24:00:00Z",
    "2026-12-01T24:00Z",
    "2026-12-01T23:59:60Z",
    "2026-12-01T06:60:00Z",
    "2026-12-01T06:00:00,5Z",
    "2026-12-01T06:00:00.Z",
    "2026-12-01T06:00.5Z",
    "2026-12-01T06:00:00+01:00:30",
    "2026-12-01T06:00:00+01:00:00.5",
    "2026-12-01T06:00:00+24:00",
    "2026-12-01T06:00:00+01:60",
    "2026-12-01T06:00:00+1",
    "2026-12-01T06:00:00+1:00",
    "2026-12-01T06:00:00\u2212" + "01:00",
    "2026-12-01T06:00:00Z+01:00",
    "2026-12-01T06:00:00[Europe/Stockholm]",
    "2026-12-01T06:00:00 UTC",
    "2026-12-01Z",
    "2026-12-01T",
    "٢٠٢٦-١٢-٠١T٠٦:٠٠:٠٠Z",
    "2026-12-0１T06:00:00Z",
    "+2026-12-01T06:00:00Z",
    "12026-12-01T06:00:00Z",
    "2026-02-30T06:00:00Z",
    "2026-13-01T06:00:00Z",
    "0000-01-01T00:00:00Z",
    "2026-12-01T06:00:00Z\n",
    "2026-12-01T06:00:00Z\0",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:00:00-02:00",
    "1764547200",
    "",
]


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T06:00:00Z",
        "2026-12-01 06:00:00Z",
        "2026-12-01T06:00Z",
        "2026-12-01T06:00:00.000000000Z",
        "2026-12-01T07:00:00+01:00",
        "2026-12-01T07:00:00+0100",
        "2026-12-01T07:00:00+01",
        "2026-11-30T18:15-11:45",
        "2026-12-01T06:00:00-00:00",
    ],
)
def test_an_instant_has_an_offset_from_utc(text: str) -> None:
    found = parse_instant(text)

    assert (found, found.tzinfo) == (MOMENT, UTC)


def test_a_fraction_is_kept_to_the_microsecond() -> None:
    assert parse_instant("2026-12-01T06:00:00.1234567Z") == MOMENT.replace(microsecond=123_456)


@pytest.mark.parametrize("text", ["2026-12-01T06:00:00", "2026-12-01 06:00", "2026-12-01T06:00:00.000"])
def test_a_time_without_an_offset_is_utc_where_people_type_it_and_refused_elsewhere(text: str) -> None:
    assert parse_instant(text, naive_is_utc=True) == MOMENT
    with pytest.raises(ValueError, match="has no offset"):
        parse_instant(text)


def test_a_date_alone_is_its_first_moment_where_people_type_it() -> None:
    assert parse_instant("2026-12-01", naive_is_utc=True) == MOMENT.replace(hour=0)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("naive_is_utc", [True, False])
def test_an_odd_form_is_refused(text: str, naive_is_utc: bool) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_instant(text, naive_is_utc=naive_is_utc)
