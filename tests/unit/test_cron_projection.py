"""The five fields that django-celery-beat keeps of an expression, read by Celery itself."""

from __future__ import annotations

import random
from datetime import datetime
from random import Random

import pytest
from celery.schedules import crontab
from django_celery_beat.models import CrontabSchedule

from schedules.cron import CronExpression, CronSyntaxError
from schedules.cron_fields import values_of
from tests.unit.cron_oracle import matches_day
from tests.unit.cron_texts import random_expression

COLUMNS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def check(expression: CronExpression) -> None:
    """Compare what Celery reads with what the expression means, and ask the validators and columns."""
    projection = dict(zip(COLUMNS, expression.five_field_projection(), strict=True))
    for name, text in projection.items():
        CrontabSchedule._meta.get_field(name).clean(text, None)
    read = crontab(**projection)
    assert read.minute == set(values_of(expression.minutes))
    assert read.hour == set(values_of(expression.hours))
    assert read.month_of_year == set(values_of(expression.months))
    assert read.day_of_week >= set(values_of(expression.weekdays.values))
    if expression.weekdays.is_plain:
        assert read.day_of_week == set(values_of(expression.weekdays.values))


@pytest.mark.parametrize(
    ("text", "projection"),
    [
        ("* * * * *", ("*", "*", "*", "*", "*")),
        ("*/30 * * * * *", ("*", "*", "*", "*", "*")),
        ("0-30/5 6-18 * * 1-5", ("0-30/5", "6-18", "*", "*", "1-5")),
        ("0 */2 * * *", ("0", "*/2", "*", "*", "*")),
        ("30 5 9,17 1,15 */3 0", ("5", "9,17", "1,15", "*/3", "0")),
        ("@weekly", ("0", "0", "*", "*", "0")),
        ("0 0 ? * ?", ("0", "0", "*", "*", "*")),
        ("0 0 * jan,Jun-aug mon", ("0", "0", "*", "1,6-8", "1")),
        ("0 0 * * 7", ("0", "0", "*", "*", "0")),
        ("0 0 * * 5-7", ("0", "0", "*", "*", "0,5-6")),
        ("0 0 * * fri-sun", ("0", "0", "*", "*", "0,5-6")),
        ("0 0 * * 0-7", ("0", "0", "*", "*", "0-6")),
        ("5/15 20/2 * * *", ("5,20,35,50", "20,22", "*", "*", "*")),
        ("*/60 */24 * */12 *", ("0", "0", "*", "*/12", "*")),
        ("*/07 * * * *", ("*/07", "*", "*", "*", "*")),
        (f"{','.join(['7'] * 200)} * * * *", ("7", "*", "*", "*", "*")),
        ("0 0 L * *", ("0", "0", "28-31", "*", "*")),
        ("0 0 L feb *", ("0", "0", "28-29", "2", "*")),
        ("0 0 L-3 4,6 *", ("0", "0", "27", "4,6", "*")),
        ("0 0 LW * *", ("0", "0", "26-31", "*", "*")),
        ("0 0 1W * *", ("0", "0", "1-3", "*", "*")),
        ("0 0 15W,1 * *", ("0", "0", "1,14-16", "*", "*")),
        ("0 0 * * 5L,1#2,3", ("0", "0", "*", "*", "1,3,5")),
        ("0 0 30 2 1", ("0", "0", "*", "2", "1")),
        ("0 0 31W 2 5L", ("0", "0", "*", "2", "5")),
        ("0 0 13 * 5", ("0", "0", "13", "*", "5")),
    ],
)
def test_it_keeps_what_celery_can_read_and_rewrites_the_rest(text: str, projection: tuple[str, ...]) -> None:
    expression = CronExpression.parse(text)
    assert expression.five_field_projection() == projection
    check(expression)


def test_celery_reads_the_values_of_random_expressions() -> None:
    random_numbers = Random(random.getrandbits(64))
    for _ in range(1_000):
        near = datetime(2026, 2, 1 + random_numbers.randrange(28), random_numbers.randrange(24))  # noqa: DTZ001
        try:
            text = random_expression(random_numbers, near=near, with_seconds=random_numbers.random() < 0.3)
            check(CronExpression.parse(text))
        except CronSyntaxError:
            continue


@pytest.mark.parametrize(
    ("day", "months"),
    [("L", "*"), ("LW", "*"), ("15W", "*"), ("1W,30W", "2,4"), ("31W", "*"), ("L-29", "*"), ("29W", "2")],
)
def test_it_names_exactly_the_days_that_l_and_w_fall_on_in_28_years(day: str, months: str) -> None:
    projection = CronExpression.parse(f"0 0 {day} {months} *").five_field_projection()
    read = crontab(day_of_month=projection[2], month_of_year=projection[3])
    dates = (datetime.fromordinal(number).date() for number in range(734_000, 734_000 + 28 * 365 + 7))
    assert read.day_of_month == {
        date.day for date in dates if date.month in read.month_of_year and matches_day(day.lower(), "*", date)
    }
