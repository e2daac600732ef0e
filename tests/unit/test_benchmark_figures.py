"""The figures of the benchmarks, and how they are shown."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.burst import Burst, compare_bursts, pick_dues
from tests.benchmarks.figures import Figure, format_value, percentile
from tests.benchmarks.report import HEADINGS, Report, describe, document, table_lines

MACHINE = {"processor": "EPYC", "date": "2026-11-24"}
BURST = Figure("1,000 at one second", "s", 0.1, "The last is there {value} late.", bar=0.15, stock=7.5, redbeat=2.0)
RATE = Figure("runs a second", "/s", 12_345.0, "It sends {value}.", stock=120.0, redbeat=600.0)
TIMES = Figure("4,000: times stock", "x", 80.0, "It sends {value} as many.", bar=100, at_least=True)
NONE = Figure("2 starts lost, doubled", "", 0, "{value} were lost.", bar=0)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3, 1, 2], 50, 2), ([3, 1, 2, 4], 50, 2), ([5], 99, 5), (range(1, 101), 99, 99), (range(1, 201), 100, 200)],
)
def test_a_percentile_is_a_value_that_was_measured(values, percent, expected):
    assert percentile(values, percent) == expected


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.09412, "s", "94.1 ms"),
        (0.00212, "s", "2.12 ms"),
        (-0.0123, "s", "-12.3 ms"),
        (1.0, "s", "1 s"),
        (115.2, "s", "115 s"),
        (12_345.6, "/s", "12,346 /s"),
        (0.5, "%", "0.50 %"),
        (0.75 / 1024, "MB", "0.75 KB"),
        (28.44, "x", "28.4x"),
        (0, "", "0"),
        (None, "s", ""),
    ],
)
def test_a_value_is_shown_with_three_digits_that_count(value, unit, text):
    assert format_value(value, unit) == text


def test_a_bar_is_a_greatest_or_a_least_value():
    assert (BURST.holds, TIMES.holds, NONE.holds, RATE.holds) == (True, False, True, None)


def test_the_ratio_is_that_to_the_best_peer():
    assert BURST.ratio == pytest.approx(20)
    assert RATE.ratio == pytest.approx(20.6, abs=0.1)
    assert (TIMES.ratio, NONE.ratio) == (None, None)


def test_the_table_fits_a_terminal():
    lines = list(table_lines([BURST, RATE, TIMES, NONE]))

    assert max(map(len, lines)) <= 80
    assert " ".join(lines[1].split()) == "1,000 at one second 100 ms 7.50 s 2 s 20x 150 ms yes"
    assert " ".join(lines[3].split()) == "4,000: times stock 80x 100x NO"


def test_a_sentence_tells_bar_and_peers():
    assert describe(BURST) == (
        "The last is there **100 ms** late. The bar, at most 150 ms, holds. For comparison: stock 7.50 s, RedBeat 2 s."
    )
    assert describe(TIMES) == "It sends **80x** as many. The bar, at least 100x, is missed."
    assert describe(Figure("2,000 at one second", "s", None, "{value}", stock=30.0)) == (
        "2,000 at one second, not measured of the service. For comparison: stock 30 s."
    )


def test_results_are_kept_as_they_were():
    for figure in (BURST, RATE, TIMES, NONE):
        assert Figure.from_json(json.loads(json.dumps(figure.as_json()))) == figure


def test_a_part_that_is_measured_anew_replaces_only_itself():
    earlier = Report(MACHINE, {"idle": [NONE], "burst": [BURST]}, cron="fast").as_json()
    merged = Report(MACHINE | {"date": "2026-11-25"}, {"idle": [RATE]}).merge(earlier)

    assert merged.figures == {"burst": [BURST], "idle": [RATE]}
    assert (merged.cron, merged.machine["date"]) == ("fast", "2026-11-25")


def test_figures_of_another_machine_are_dropped():
    earlier = Report(MACHINE | {"processor": "Xeon"}, {"burst": [BURST]}).as_json()

    assert Report(MACHINE, {"idle": [RATE]}).merge(earlier).figures == {"idle": [RATE]}


def test_the_document_has_every_figure_and_the_machine():
    text = document(Report(MACHINE, {"burst": [BURST, TIMES], "idle": [NONE]}, cron="fast"))

    assert f"## {HEADINGS['burst']}" in text
    assert "| 1,000 at one second | 100 ms | 7.50 s | 2 s | 20x | 150 ms | yes |" in text
    assert "- **0** were lost. The bar, at most 0, holds." in text
    assert "| processor | EPYC |" in text


@pytest.mark.parametrize(
    ("earliest", "rounds", "gap", "dues"),
    [
        (600.5, 1, 3, [601]),
        (600.5, 3, 10, [601, 611, 621]),
        # They would not fit into this minute
        (640.5, 3, 10, [660, 670, 680]),
        (659.5, 2, 3, [660, 663]),
    ],
)
def test_rounds_are_due_within_one_minute(earliest, rounds, gap, dues):
    assert pick_dues(earliest, rounds=rounds, gap=gap) == dues


def test_bursts_are_compared_at_the_same_size():
    bursts = {
        ("ours", 4000): Burst((0.4,)),
        ("ours", 40_000): Burst((3.0, 5.0, 4.0), checked=9, missing=1),
        ("stock", 4000): Burst((80.0,)),
        ("redbeat", 5000): Burst((10.0,)),
    }
    found = {figure.measure: figure for figure in compare_bursts(bursts)}

    assert (found["runs a second"].ours, found["runs a second"].stock) == (10_000, 50)
    assert found["4,000: times stock beat"].ours == pytest.approx(200)
    assert found["4,000: times stock beat"].bar == 100
    assert "5,000: times RedBeat" not in found
    assert found["growth to 40,000"].ours == pytest.approx(10)
    assert found["messages before their rows"].ours == 1
