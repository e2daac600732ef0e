"""Months as Butler counts them, from 0, and as everybody else does, from 1."""

from __future__ import annotations

import pytest

from schedules.yaml_io import Entry, months_as_numbers, read_entries


def read(cron: str, *, first_month: int = 0) -> Entry:
    (entry,) = read_entries(f"butlerSchedule: [{{cronSchedule: '{cron}'}}]", first_month=first_month)
    return entry


@pytest.mark.parametrize(
    ("butlers", "ours"),
    [
        ("0 6 1 0 *", "0 6 1 1 *"),
        ("0 6 1 11 *", "0 6 1 12 *"),
        ("30 0 6 1 9 *", "30 0 6 1 10 *"),
        ("0 6 1 0,3,6,9 *", "0 6 1 1,4,7,10 *"),
        ("0 6 1 2-5 *", "0 6 1 3-6 *"),
        ("0 6 1 0-11/3 *", "0 6 1 1-12/3 *"),
        ("0 6 1 1/10 *", "0 6 1 2/10 *"),
        ("0  6 1\t8 *", "0 6 1 9 *"),
        ("0 6 1 jan,3 *", "0 6 1 jan,4 *"),
    ],
)
def test_months_that_count_from_0_get_the_numbers_that_count_from_1(butlers, ours):
    assert read(butlers).values == {"cronSchedule": ours}


@pytest.mark.parametrize(
    "cron", ["0 6 1 * *", "0  6 1 */2 1-5", "0 6 1 jan-mar *", "0 6 1 ? *", "@yearly", "1 2 3", ""]
)
def test_a_cron_text_without_such_numbers_stays_as_it_is(cron):
    assert read(cron).values.get("cronSchedule", "") == cron


def test_a_month_that_butler_does_not_know_is_reported():
    entry = read("0 6 1 3,12 *")

    assert entry.problems == {
        "cronSchedule": "Month 12 of '0 6 1 3,12 *' is not among 0 to 11. Do the months of this file count from 1?"
    }


def test_a_number_too_long_to_be_one_is_reported():
    assert "is not among 0 to 11" in read(f"0 6 1 {'9' * 5_000} *").problems["cronSchedule"]


def test_months_that_count_from_1_stay_as_they_are():
    assert read("0 6 1 12 *", first_month=1).values == {"cronSchedule": "0 6 1 12 *"}


@pytest.mark.parametrize(
    ("cron", "months"),
    [
        ("0 6 1 3 *", [3]),
        ("0 0 6 1 1-3,11/2,jan *", [1, 3, 11]),
        ("0 6 1 */3 *", []),
        ("0 6 1 jan *", []),
        ("@yearly", []),
        ("1 2 3 4", []),
        ("1 2 3 4 5 6 7", []),
    ],
)
def test_the_numbers_of_months_are_found(cron, months):
    assert months_as_numbers(cron) == months
