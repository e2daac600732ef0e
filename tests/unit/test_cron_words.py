"""Expressions in plain words."""

from __future__ import annotations

import random
from datetime import datetime
from random import Random

import pytest

from schedules.cron import CronExpression, CronSyntaxError
from tests.unit.cron_texts import random_expression


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * * *", "Every second"),
        ("*/5 * * * * *", "Every 5 seconds"),
        ("*/30 * * * * *", "Every 30 seconds"),
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0,30 * * * *", "Every 30 minutes"),
        ("0 * * * *", "Every hour"),
        ("@hourly", "Every hour"),
        ("15 * * * *", "Every hour at minute 15"),
        ("30 15 * * * *", "Every hour at minute 15 and second 30"),
        ("30 0 * * * *", "Every hour at minute 0 and second 30"),
        ("0 */2 * * *", "Every 2 hours"),
        ("0 */5 * * *", "Every 5 hours from 00:00 through 20:00, every day"),
        ("15 6-18/3 * * *", "Every 3 hours from 06:15 through 18:15, every day"),
        ("30 1-4 * * *", "Every hour from 01:30 through 04:30, every day"),
        ("10 30 1-4 * * *", "Every hour from 01:30:10 through 04:30:10, every day"),
        ("30 2 * * *", "At 02:30, every day"),
        ("10 0 0 * * *", "At 00:00:10, every day"),
        ("0 6,18 * * *", "At 06:00 and 18:00, every day"),
        ("0,30 6,18 * * *", "At 06:00, 06:30, 18:00 and 18:30, every day"),
        ("0,30 30 6 * * *", "At 06:30 and 06:30:30, every day"),
        ("0 1,2,3,12,13,14,20 * * *", "At 01:00, 02:00, 03:00, 12:00, 13:00, 14:00 and 20:00, every day"),
    ],
)
def test_it_tells_the_times(text: str, words: str) -> None:
    assert CronExpression.parse(text).describe() == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5,10 * * * *", "At minutes 5 and 10 of every hour"),
        ("1-20 * * * *", "Every minute from minute 1 through 20 of every hour"),
        ("*/7 * * * *", "Every 7 minutes from minute 0 through 56 of every hour"),
        ("*/15 8-17 * * *", "Every 15 minutes of every hour from 8 through 17"),
        ("*/15 8,12,13,20 * * *", "Every 15 minutes of hours 8, 12, 13 and 20"),
        ("*/15 */2 * * *", "Every 15 minutes of every 2nd hour"),
        ("5/15 1/4 * * *", "Every 15 minutes from minute 5 through 50 of every 4th hour from 1 through 21"),
        ("0,10,20,40 9,10 * * *", "At minutes 0, 10, 20 and 40 of hours 9 and 10"),
        ("1-3,7,9 */3 * * *", "At minutes 1 through 3, 7 and 9 of every 3rd hour"),
        ("5 * * * * *", "At second 5 of every minute"),
        ("5 * 3 * * *", "At second 5 of every minute of hour 3"),
        ("1,2 3 * * * *", "At seconds 1 and 2 of minute 3 of every hour"),
        ("1,2 */10 * * * *", "At seconds 1 and 2 of every 10th minute"),
        ("*/30 5 * * * *", "Every 30 seconds of minute 5 of every hour"),
        ("*/20 * 3 * * *", "Every 20 seconds of every minute of hour 3"),
        ("* 30 2 * * *", "Every second of minute 30 of hour 2"),
        ("*/3 1/11 * * * *", "Every 3 seconds of every 11th minute from 1 through 56 of every hour"),
        ("*/3 2/21 * * * *", "Every 3 seconds of minutes 2, 23 and 44 of every hour"),
        ("*/3 */13 * * * *", "Every 3 seconds of every 13th minute from 0 through 52 of every hour"),
        ("*/3 */12 * * * *", "Every 3 seconds of every 12th minute"),
    ],
)
def test_it_tells_finer_units_as_parts_of_coarser_ones(text: str, words: str) -> None:
    assert CronExpression.parse(text).describe() == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("* * *", "every day"),
        ("1-31 * 0-7", "every day"),
        ("? 1-12 ?", "every day"),
        ("1 * *", "on day 1 of the month"),
        ("1,15 * *", "on days 1 and 15 of the month"),
        ("1-7,15 * *", "on days 1 through 7 and 15 of the month"),
        ("*/2 * *", "on every 2nd day of the month from day 1 through 31"),
        ("L * *", "on the last day of the month"),
        ("L-1 * *", "on the day before the last of the month"),
        ("L-3 * *", "on the 3rd day before the last of the month"),
        ("L-21 * *", "on the 21st day before the last of the month"),
        ("L-12 * *", "on the 12th day before the last of the month"),
        ("LW * *", "on the last weekday (Monday to Friday) of the month"),
        ("15W * *", "on the weekday (Monday to Friday) nearest day 15 of the month"),
        ("1,L * *", "on day 1 of the month and the last day of the month"),
        ("* * 1", "on Monday"),
        ("* * 1-5", "on Monday through Friday"),
        ("* * fri-sun", "on Friday through Sunday"),
        ("* * 0,6", "on Saturday and Sunday"),
        ("* * */2", "on Tuesday, Thursday, Saturday and Sunday"),
        ("* * 5L", "on the last Friday of the month"),
        ("* * 7L", "on the last Sunday of the month"),
        ("* * 5#2", "on the second Friday of the month"),
        ("* * 0#5", "on the fifth Sunday of the month"),
        ("* * mon,5#1,5#3", "on Monday, the first Friday of the month and the third Friday of the month"),
        ("13 * 5", "on day 13 of the month or on Friday"),
        ("L * 1#1", "on the last day of the month or on the first Monday of the month"),
        ("*/10 1 sun", "on every 10th day of the month from day 1 through 31 or on Sunday, in January"),
        ("* jan *", "every day, in January"),
        ("1 1,6-8 *", "on day 1 of the month, in January and June through August"),
        ("* */3 1", "on Monday, in January, April, July and October"),
        ("* 2-12 *", "every day, in February through December"),
    ],
)
def test_it_tells_the_days_and_months(fields: str, words: str) -> None:
    assert CronExpression.parse(f"0 0 {fields}").describe() == f"At 00:00, {words}"


def test_it_tells_days_and_months_after_a_rhythm_too() -> None:
    text = "0-30/5 6-18 * * 1-5"
    rhythm = "Every 5 minutes from minute 0 through 30 of every hour from 6 through 18"
    assert CronExpression.parse(text).describe() == f"{rhythm}, on Monday through Friday"
    assert CronExpression.parse("* * * 5 *").describe() == "Every minute, in May"


def test_the_same_meaning_has_the_same_words_however_it_is_written() -> None:
    assert CronExpression.parse("@weekly").describe() == CronExpression.parse("0-0 0 0 ? jan-dec SUN").describe()


def test_no_two_meanings_share_their_words() -> None:
    random_numbers = Random(random.getrandbits(64))
    meanings: dict[str, tuple[object, ...]] = {}
    for _ in range(3_000):
        near = datetime(2026, 7, 1 + random_numbers.randrange(31), random_numbers.randrange(24))  # noqa: DTZ001
        text = random_expression(random_numbers, near=near, with_seconds=random_numbers.random() < 0.5)
        try:
            expression = CronExpression.parse(text)
        except CronSyntaxError:
            continue
        times = (expression.seconds, expression.minutes, expression.hours, expression.months)
        days = expression.days if expression.days.is_restricted else None
        weekdays = expression.weekdays if expression.weekdays.is_restricted else None
        meaning = (*times, days, weekdays)
        words = expression.describe()
        assert meanings.setdefault(words, meaning) == meaning, f"{text!r}: {words}"
