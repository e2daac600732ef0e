"""The filters that the client sends: what they read like, and how long ones are split."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlik.execution import ExecutionStatus
from qlik.filters import Filter, all_of, any_of, before, differs, equals, one_of, since

ID = UUID("0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b")
A, B, C, D = (equals(name, 1) for name in "abcd")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ID, "x eq 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"),
        (True, "x eq true"),
        (False, "x eq false"),
        (7, "x eq 7"),
        (-1, "x eq -1"),
        (ExecutionStatus.FINISHED_SUCCESS, "x eq 7"),
        ("Finance", "x eq 'Finance'"),
        ("Bob's", "x eq 'Bob''s'"),
        ("' or id ne '", "x eq ''' or id ne '''"),
        ("", "x eq ''"),
        (datetime(2026, 3, 1, 6, tzinfo=UTC), "x eq '2026-03-01T06:00:00.000Z'"),
        (datetime(2026, 3, 1, 6, 0, 0, 5999, timezone(timedelta(hours=2))), "x eq '2026-03-01T04:00:00.005Z'"),
    ],
)
def test_a_value_is_written_as_qrs_reads_it(value: Any, text: str) -> None:
    assert str(equals("x", value)) == text


def test_there_are_other_comparisons() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert str(differs("enabled", True)) == "enabled ne true"
    assert str(since("startTime", moment)) == "startTime ge '2026-03-01T00:00:00.000Z'"
    assert str(before("startTime", moment)) == "startTime lt '2026-03-01T00:00:00.000Z'"


def test_a_moment_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="2026-03-01 00:00:00 has no time zone"):
        since("startTime", datetime(2026, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("name", ["", "a b", "a eq 1 or b", "a.", ".a", "a..b", "'a'", "a)"])
def test_a_property_is_a_name_with_dots(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no property of QRS: it must read name or name\.name"):
        equals(name, 1)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (any_of(A, B), "a eq 1 or b eq 1"),
        (all_of(A, B), "a eq 1 and b eq 1"),
        (all_of(A, any_of(B, C)), "a eq 1 and (b eq 1 or c eq 1)"),
        (any_of(all_of(A, B), C), "(a eq 1 and b eq 1) or c eq 1"),
        (any_of(any_of(A, B), C), "a eq 1 or b eq 1 or c eq 1"),
        (all_of(any_of(A, B), any_of(C, D)), "(a eq 1 or b eq 1) and (c eq 1 or d eq 1)"),
        (all_of(any_of(A), B), "b eq 1 and a eq 1"),
        (all_of(all_of(A, any_of(B, C)), D), "a eq 1 and d eq 1 and (b eq 1 or c eq 1)"),
        (any_of(all_of(A, any_of(B, C)), D), "(a eq 1 and (b eq 1 or c eq 1)) or d eq 1"),
        (one_of("id", [ID, ID]), f"id eq {ID} or id eq {ID}"),
        (any_of(A, one_of("id", [])), "a eq 1"),
        (any_of(A, all_of(B, one_of("id", []))), "a eq 1"),
        (all_of(A, Filter()), "a eq 1"),
        (all_of(), ""),
        (any_of(A, Filter()), ""),
    ],
)
def test_conditions_are_joined(condition: Filter, text: str) -> None:
    assert str(condition) == text


@pytest.mark.parametrize("condition", [any_of(), one_of("id", []), all_of(A, any_of()), all_of(any_of(A, B), any_of())])
def test_one_of_nothing_is_never_met_rather_than_everything(condition: Filter) -> None:
    assert condition.is_never_met
    assert list(condition.split(1000)) == []


def test_a_short_filter_is_one() -> None:
    assert list(any_of(A, B).split(1000)) == [any_of(A, B)]


def test_a_long_filter_is_split_at_its_alternatives() -> None:
    ids = [UUID(int=number) for number in range(1000)]
    parts = list(all_of(equals("status", 7), one_of("executionID", ids)).split(7000))
    assert len(parts) == 16
    assert all(len(quote(str(part), safe="")) <= 7000 for part in parts)
    assert all(str(part).startswith("status eq 7 and (executionID eq ") for part in parts)
    assert [text for part in parts for text in part.alternatives or ()] == [f"executionID eq {id_}" for id_ in ids]


def test_of_two_groups_the_longer_one_is_split() -> None:
    parts = list(all_of(one_of("x", range(1000)), any_of(A, B)).split(7000))
    assert len(parts) > 1
    assert all(str(part).startswith("(a eq 1 or b eq 1) and (x eq ") for part in parts)


@pytest.mark.parametrize("condition", [equals("x", "å" * 200), any_of(A, equals("x", "å" * 200))])
def test_what_cannot_be_split_is_refused(condition: Filter) -> None:
    with pytest.raises(ValueError, match="longer than 1000 characters and cannot be split"):
        list(condition.split(1000))


@given(st.text(max_size=30))
def test_any_text_stays_within_its_quotes(text: str) -> None:
    """Read as QRS does: a quote within a text is doubled, and a single one ends it."""
    read = re.fullmatch("name eq '((?:[^']|'')*)' or a eq 1", str(any_of(equals("name", text), A)))
    assert read
    assert read[1].replace("''", "'") == text
