"""The simulator's reading of QRS filters."""

from __future__ import annotations

import pytest

from qlik.simulator.filters import FilterError, parse_filter

TASK = {
    "id": "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
    "name": "Bob's task (daily)",
    "enabled": True,
    "maxRetries": 2,
    "app": {"name": "Sales and more", "stream": None},
    "tags": [{"name": "Finance"}, {"name": "Extract"}],
    "customProperties": [],
}


@pytest.mark.parametrize(
    "text",
    [
        "id eq 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
        "id eq 0FE447A9-BA1F-44A9-AC23-68C3A1D88D8B",
        "ID EQ 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
        "name eq 'Bob''s task (daily)'",
        "enabled eq true",
        "enabled ne false",
        "maxRetries eq 2",
        "maxretries ne 0",
        "app.name eq 'Sales and more'",
        "tags.name eq 'Finance'",
        "tags.name eq 'Extract'",
        "tags.name eq 'Finance' and enabled eq true",
        "name eq 'x' or name eq 'y' or enabled eq true",
        "name eq 'x' and name eq 'y' or enabled eq true",
        "enabled eq true or name eq 'x' and name eq 'y'",
        "((tags.name eq 'Finance'))and(enabled eq true)",
        "  enabled   eq\ttrue  ",
    ],
)
def test_it_lets_through(text: str) -> None:
    assert parse_filter(text)(TASK)


@pytest.mark.parametrize(
    "text",
    [
        "id eq 00000000-0000-0000-0000-000000000000",
        "id ne 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
        "name eq 'bob''s task (daily)'",
        "enabled eq false",
        "maxRetries eq 20",
        "tags.name eq 'Fin'",
        "customProperties.value eq 'x'",
        "customProperties.value ne 'x'",
        "app.stream.name eq 'x'",
        "enabled eq true and name eq 'x'",
        "name eq 'x' and (name eq 'y' or enabled eq true)",
        "(enabled eq true or name eq 'x') and name eq 'y'",
    ],
)
def test_it_holds_back(text: str) -> None:
    assert not parse_filter(text)(TASK)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id",
        "id eq",
        "id eq 0fe447a9",
        "id like 'x'",
        "id eq 'x' and",
        "and id eq 'x'",
        "id eq 'x' id eq 'y'",
        "(id eq 'x'",
        "id eq 'x')",
        "()",
        "name eq Finance",
        "name eq 'x",
        "name eq 'x''",
        "'name' eq 'x'",
        "tags..name eq 'x'",
        "id eq 'x' xor id eq 'y'",
    ],
)
def test_it_refuses(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text)


def test_it_refuses_a_property_that_does_not_exist() -> None:
    with pytest.raises(FilterError, match="'colour' is no property"):
        parse_filter("tags.colour eq 'red'")(TASK)


def test_it_reads_thousands_of_alternatives() -> None:
    text = " or ".join([f"maxRetries eq {number}" for number in range(5_000, 10_000)] + ["enabled eq true"])
    assert parse_filter(text)(TASK)
