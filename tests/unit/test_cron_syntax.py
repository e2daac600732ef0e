"""What `CronExpression.parse` accepts, what it makes of it, and what it says when it refuses."""

from __future__ import annotations

import pickle
import sys

import pytest

from schedules.cron import MAX_LENGTH, CronExpression, CronSyntaxError
from schedules.cron_fields import values_of


def refuse(text: str) -> CronSyntaxError:
    with pytest.raises(CronSyntaxError) as caught:
        CronExpression.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*", range(60)),
        ("7", [7]),
        ("07", [7]),
        ("3,1,2,1", [1, 2, 3]),
        ("10-13", range(10, 14)),
        ("59-59", [59]),
        ("*/20", [0, 20, 40]),
        ("*/40", [0, 40]),
        ("*/60", [0]),
        ("*/059", [0, 59]),
        ("5/20", [5, 25, 45]),
        ("10-30/10", [10, 20, 30]),
        ("10-29/10", [10, 20]),
        ("1,10-12,*/30", [0, 1, 10, 11, 12, 30]),
    ],
)
def test_it_reads_lists_ranges_and_steps(field: str, minutes: list[int]) -> None:
    assert values_of(CronExpression.parse(f"{field} * * * *").minutes) == list(minutes)


def test_a_step_of_many_digits_is_refused() -> None:
    assert "a step larger than the field's range" in str(refuse(f"*/{'9' * 500} * * * *"))


@pytest.mark.parametrize("text", ["*/60 * * * * *", "0 */24 * * *", "0 0 */31 * *", "0 0 1 */12 *", "0 0 * * */7"])
def test_a_step_may_be_as_large_as_the_field(text: str) -> None:
    assert CronExpression.parse(text).text == text


@pytest.mark.parametrize(
    ("field", "months"),
    [
        ("jan", [1]),
        ("DEC", [12]),
        ("Mar-may", [3, 4, 5]),
        ("10-dec", [10, 11, 12]),
        ("feb/5", [2, 7, 12]),
        ("1,jul", [1, 7]),
    ],
)
def test_it_reads_names_of_months_in_any_case(field: str, months: list[int]) -> None:
    assert values_of(CronExpression.parse(f"0 0 * {field} *").months) == months


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("sun", [0]),
        ("0", [0]),
        ("7", [0]),
        ("SAT", [6]),
        ("5-7", [0, 5, 6]),
        ("fri-sun", [0, 5, 6]),
        ("5-SUN", [0, 5, 6]),
        ("mon-sun/3", [0, 1, 4]),
        ("sun-tue", [0, 1, 2]),
        ("sun-sun", [0]),
        ("0-7", range(7)),
        ("?", range(7)),
        ("5/1", [0, 5, 6]),
        ("1/2", [0, 1, 3, 5]),
        ("*/2", [0, 2, 4, 6]),
        ("mon,5", [1, 5]),
    ],
)
def test_it_reads_days_of_the_week_with_sunday_at_both_ends(field: str, weekdays: list[int]) -> None:
    assert values_of(CronExpression.parse(f"0 0 * * {field}").weekdays.values) == list(weekdays)


def test_it_gives_five_fields_the_second_0() -> None:
    assert CronExpression.parse("1 2 3 4 5") == CronExpression.parse("0 1 2 3 4 5")


def test_it_takes_any_white_space_between_and_around_the_fields() -> None:
    expression = CronExpression.parse(" \t1\u20032\n3 \v 4\xa05\r\n")
    assert expression == CronExpression.parse("1 2 3 4 5")
    assert expression.text == "1\u20032\n3 \v 4\xa05"


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_it_reads_the_aliases(alias: str, text: str) -> None:
    assert CronExpression.parse(alias) == CronExpression.parse(text)
    assert CronExpression.parse(alias).text == alias


@pytest.mark.parametrize(
    ("text", "is_fixed_time"),
    [
        ("30 2 * * *", True),
        ("* 30 2 * * *", True),
        ("0-59 0-23 * * *", True),
        ("5,* 2 * * *", True),
        ("*/15 2 * * *", False),
        ("30 * * * *", False),
        ("0 30 */2 * * *", False),
        ("*,5 2 * * *", False),
    ],
)
def test_it_is_fixed_time_when_neither_minute_nor_hour_starts_with_a_star(text: str, is_fixed_time: bool) -> None:
    assert CronExpression.parse(text).is_fixed_time is is_fixed_time


def test_expressions_are_equal_when_they_mean_the_same() -> None:
    written = ["0 9 15,1 jan,dec sun", "0 0 9 1,15 1,12 7", "0-0 9-9/3 1-15/14 12,1 sun-sun"]
    assert len({CronExpression.parse(text) for text in written}) == 1


def test_expressions_that_differ_only_over_daylight_saving_are_not_equal() -> None:
    assert CronExpression.parse("0 * * * *") != CronExpression.parse("0 0-23 * * *")


def test_parsing_the_same_text_again_gives_the_same_object() -> None:
    assert CronExpression.parse("1 2 3 4 *") is CronExpression.parse("1 2 3 4 *")


def test_an_expression_takes_less_than_a_kilobyte() -> None:
    expression = CronExpression.parse("10,20,30 1-59/2 6-18 1-7,15W,L-3,LW jan-jun mon-fri,6#2,0L")
    parts = [getattr(expression, name) for name in expression.__slots__]
    days = [getattr(part, name) for part in (expression.days, expression.weekdays) for name in part.__slots__]
    assert sys.getsizeof(expression) + sum(map(sys.getsizeof, [*parts, *days])) < 1024


def test_expressions_and_errors_survive_pickling() -> None:
    expression = CronExpression.parse("0 9 L * 5#2")
    assert pickle.loads(pickle.dumps(expression)) == expression  # noqa: S301
    error = refuse("0 25 * * *")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), copy.field, copy.value, copy.allowed) == (str(error), error.field, error.value, error.allowed)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", "0 fields"), ("  ", "0 fields"), ("5", "1 field."), ("* * * *", "4 fields"), ("* * * * * * *", "7 fields")],
)
def test_it_refuses_other_numbers_of_fields_than_five_and_six(text: str, count: str) -> None:
    error = refuse(text)
    assert error.field == "expression"
    assert error.value == text.strip()
    assert error.allowed == "[second] minute hour day-of-month month day-of-week"
    assert f"has {count}" in str(error)


def test_it_refuses_unknown_aliases_and_lists_those_it_knows() -> None:
    for alias in ("@reboot", "@every 5m", "@", "@daily 5"):
        assert refuse(alias).value == alias
    assert "@yearly @annually @monthly @weekly @daily @midnight @hourly" in str(refuse("@reboot"))


@pytest.mark.parametrize(
    ("text", "field", "value", "problem"),
    [
        ("60 * * * * *", "second", "60", "out of range"),
        ("60 * * * *", "minute", "60", "out of range"),
        ("0-60 * * * *", "minute", "0-60", "out of range"),
        ("99999999999999999999 * * * *", "minute", "99999999999999999999", "out of range"),
        ("* 24 * * *", "hour", "24", "out of range"),
        ("* * 0 * *", "day-of-month", "0", "out of range"),
        ("* * 32 * *", "day-of-month", "32", "out of range"),
        ("* * 0W * *", "day-of-month", "0W", "out of range"),
        ("* * 32W * *", "day-of-month", "32W", "out of range"),
        ("* * L-0 * *", "day-of-month", "L-0", "out of range"),
        ("* * L-31 * *", "day-of-month", "L-31", "out of range"),
        ("* * * 0 *", "month", "0", "out of range"),
        ("* * * 13 *", "month", "13", "out of range"),
        ("* * * * 8", "day-of-week", "8", "out of range"),
        ("* * * * 8L", "day-of-week", "8L", "out of range"),
        ("* * * * 5#0", "day-of-week", "5#0", "out of range"),
        ("* * * * 5#6", "day-of-week", "5#6", "out of range"),
        ("* * * * 8#1", "day-of-week", "8#1", "out of range"),
        ("*/0 * * * *", "minute", "*/0", "step of 0"),
        ("* 1-5/00 * * *", "hour", "1-5/00", "step of 0"),
        ("*/90 * * * *", "minute", "*/90", "a step larger than the field's range"),
        ("*/61 * * * *", "minute", "*/61", "a step larger than the field's range"),
        (f"*/{'9' * 38} * * * *", "minute", f"*/{'9' * 38}", "a step larger than the field's range"),
        ("5/90 * * * *", "minute", "5/90", "a step larger than the field's range"),
        ("0-59/90 * * * *", "minute", "0-59/90", "a step larger than the field's range"),
        ("1,*/90 * * * *", "minute", "*/90", "a step larger than the field's range"),
        ("*/90 * * * * *", "second", "*/90", "a step larger than the field's range"),
        ("0 */25 * * *", "hour", "*/25", "a step larger than the field's range"),
        ("0 8-18/36 * * *", "hour", "8-18/36", "a step larger than the field's range"),
        ("0 0 */32 * *", "day-of-month", "*/32", "a step larger than the field's range"),
        ("0 0 1/45 * *", "day-of-month", "1/45", "a step larger than the field's range"),
        ("0 0 1 */13 *", "month", "*/13", "a step larger than the field's range"),
        ("0 0 1 jan-jun/24 *", "month", "jan-jun/24", "a step larger than the field's range"),
        ("0 0 * * */8", "day-of-week", "*/8", "a step larger than the field's range"),
        ("0 0 * * mon-sun/14", "day-of-week", "mon-sun/14", "a step larger than the field's range"),
        ("*/ * * * *", "minute", "*/", "a step that is not a number"),
        ("*/x * * * *", "minute", "*/x", "a step that is not a number"),
        ("1/2/3 * * * *", "minute", "1/2/3", "a step that is not a number"),
        ("* * * */jan *", "month", "*/jan", "a step that is not a number"),
        (",1 * * * *", "minute", ",1", "empty list item"),
        ("1, * * * *", "minute", "1,", "empty list item"),
        ("* * 1,,2 * *", "day-of-month", "1,,2", "empty list item"),
        ("* * * * ,", "day-of-week", ",", "empty list item"),
        ("5- * * * *", "minute", "5-", "lacks a value"),
        ("-5 * * * *", "minute", "-5", "lacks a value"),
        ("/5 * * * *", "minute", "/5", "lacks a value"),
        ("1-2-3 * * * *", "minute", "1-2-3", "not understood"),
        ("*-5 * * * *", "minute", "*-5", "not understood"),
        ("** * * * *", "minute", "**", "not understood"),
        ("+5 * * * *", "minute", "+5", "not understood"),
        ("1_0 * * * *", "minute", "1_0", "not understood"),
        ("1.5 * * * *", "minute", "1.5", "not understood"),
        ("0x1 * * * *", "minute", "0x1", "not understood"),
        ("٣ * * * *", "minute", "٣", "not understood"),
        ("*/٣ * * * *", "minute", "*/٣", "a step that is not a number"),
        ("² * * * *", "minute", "²", "not understood"),
        ("* * ٣W * *", "day-of-month", "٣W", "not understood"),
        ("* * L-٣ * *", "day-of-month", "L-٣", "not understood"),
        ("* * * * 5#٣", "day-of-week", "5#٣", "not understood"),
        ("* * * * ſun", "day-of-week", "ſun", "not understood"),
        ("\0 * * * *", "minute", "\0", "not understood"),
        ("\ud800 * * * *", "minute", "\ud800", "not understood"),
        ("? * * * *", "minute", "?", "not understood"),
        ("* * ?/2 * *", "day-of-month", "?/2", "not understood"),
        ("* L * * *", "hour", "L", "not understood"),
        ("* * * L *", "month", "L", "not understood"),
        ("* * * * L", "day-of-week", "L", "not understood"),
        ("* * * * 15W", "day-of-week", "15W", "not understood"),
        ("* * 5L * *", "day-of-month", "5L", "not understood"),
        ("* * 5#2 * *", "day-of-month", "5#2", "not understood"),
        ("* * L-3W * *", "day-of-month", "L-3W", "not understood"),
        ("* * L/2 * *", "day-of-month", "L/2", "not understood"),
        ("* * * * sunday", "day-of-week", "sunday", "not understood"),
        ("* * mon * *", "day-of-month", "mon", "the name of a day"),
        ("* * * mon *", "month", "mon", "the name of a day"),
        ("* * * * jan", "day-of-week", "jan", "the name of a month"),
        ("* * * * jul", "day-of-week", "jul", "the name of a month"),
        ("JAN * * * *", "minute", "JAN", "the name of a month"),
    ],
)
def test_it_names_the_field_and_the_value_that_it_refuses(text: str, field: str, value: str, problem: str) -> None:
    error = refuse(text)
    assert (error.field, error.value) == (field, value)
    assert problem in str(error)
    assert f"{field} {value!r} " in str(error)
    assert f"Allowed: {error.allowed}." in str(error)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("x * * * * *", "0-59;"),
        ("* x * * *", "0-23;"),
        ("* * x * *", "1-31, ?, L (last day), L-3 (third before the last), LW (last weekday), 15W (weekday nearest"),
        ("* * * x *", "1-12, jan-dec;"),
        ("* * * * x", "0-7 (0 and 7 are Sunday), sun-sat, ?, 5L (last Friday), 5#2 (second Friday);"),
    ],
)
def test_it_says_what_each_field_allows(text: str, allowed: str) -> None:
    assert refuse(text).allowed.startswith(allowed)
    assert refuse(text).allowed.endswith("lists a,b; ranges a-b; steps */n, a-b/n, a/n")


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("* 22-2 * * *", "22-23,0-2"),
        ("50-10 * * * *", "50-59,0-10"),
        ("59-0 * * * *", "59,0"),
        ("* 22-2/2 * * *", "22,0,2"),
        ("* 20-4/3 * * *", "20,23,2"),
        ("* * 28-3 * *", "28-31,1-3"),
        ("* * * 11-2 *", "11-12,1-2"),
        ("* * * nov-feb *", "nov-dec,jan-feb"),
        ("* * * * 5-1", "5-6,0-1"),
        ("* * * * fri-mon", "fri-sat,sun-mon"),
        ("* * * * 6-0", "6,0"),
        ("* * * * 7-2", "0-2"),
    ],
)
def test_it_suggests_how_to_write_a_reversed_range(text: str, suggestion: str) -> None:
    error = refuse(text)
    assert f"Write {suggestion} instead." in str(error)
    assert "runs backwards" in str(error)
    CronExpression.parse(text.replace(error.value, suggestion))


@pytest.mark.parametrize(
    ("text", "value", "limit"),
    [
        ("0 0 30 2 *", "30", 29),
        ("0 0 31 2,4,6,9,11 *", "31", 30),
        ("0 0 31,30 feb ?", "31,30", 29),
        ("0 0 31W 2 *", "31W", 29),
        ("0 0 31W 4 *", "31W", 30),
        ("0 0 30W 2 *", "30W", 29),
        ("0 0 L-30 4 *", "L-30", 30),
        ("0 0 L-29 2 *", "L-29", 29),
    ],
)
def test_it_refuses_what_can_never_fire(text: str, value: str, limit: int) -> None:
    error = refuse(text)
    assert (error.field, error.value) == ("day-of-month", value)
    assert "can never fire" in str(error)
    assert error.allowed == f"days up to {limit}"


@pytest.mark.parametrize(
    "text",
    [
        "0 0 30 2 1",
        "0 0 29 2 *",
        "0 0 29W 2 *",
        "0 0 31W 4,5 *",
        "0 0 L-28 2 *",
        "0 0 L-30 1 *",
        "0 0 31W 2 1",
        "0 0 * 2 1#5",
    ],
)
def test_it_accepts_what_fires_seldom(text: str) -> None:
    assert CronExpression.parse(text).text == text


def test_it_takes_every_value_of_every_field_by_name_but_nothing_longer_than_its_limit() -> None:
    minutes = ",".join(map(str, range(60)))
    months = "jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec"
    days = ",".join(map(str, range(1, 32)))
    hours = ",".join(map(str, range(24)))
    text = f"{minutes} {minutes} {hours} {days} {months} sun,mon,tue,wed,thu,fri,sat"
    everything = CronExpression.parse(text.ljust(MAX_LENGTH))
    assert everything.seconds == CronExpression.parse("* * * * * *").seconds
    error = refuse(text.ljust(MAX_LENGTH + 1))
    assert (error.field, len(error.value)) == ("expression", MAX_LENGTH + 1)
    assert "has 601 characters" in str(error)


def test_it_shows_only_the_beginning_of_a_long_value() -> None:
    error = refuse(f"{'9' * 500} * * * *")
    assert f"minute '{'9' * 40}...' is out of range" in str(error)
    assert len(error.value) == 500
