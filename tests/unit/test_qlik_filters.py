"""The simulator's reading of QRS filters."""

from __future__ import annotations

import pytest

from qlik.simulator.filters import FilterError, parse_filter, sort_documents

TASK = {
    "id": "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
    "name": "Bob's task (daily)",
    "enabled": True,
    "maxRetries": 2,
    "app": {"name": "Sales and more", "stream": None},
    "tags": [{"name": "Finance"}, {"name": "Extract"}],
    "customProperties": [],
    "startTime": "2026-03-01T06:00:00.250Z",
    "stopTime": "1753-01-01T00:00:00.000Z",
    "status": 8,
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
        "name eq 'bob''s TASK (daily)'",
        "tags.name eq 'finance'",
        "name sw 'bob'",
        "name ew '(DAILY)'",
        "name so '''s task'",
        "maxRetries gt 1",
        "maxRetries ge 2",
        "maxRetries lt 10",
        "maxRetries le 2",
        "maxRetries gt -1",
        "startTime eq '2026-03-01T06:00:00.250Z'",
        "startTime eq '2026-03-01T07:00:00.25+01:00'",
        "startTime eq '2026-03-01 06:00:00.250'",
        "startTime ge '2026-03-01T06:00:00.250Z'",
        "startTime gt '2026-03-01 06:00:00'",
        "startTime gt '2026-02-28'",
        "startTime lt '2026-03-01T06:00:01z'",
        "startTime le '2026-03-01T06:00:00.2505Z'",
        "startTime ge '2026-03-01' and startTime lt '2026-03-02' or name eq 'x'",
        "stopTime eq '1753-01-01T00:00:00.000Z'",
        "status eq FinishedFail",
        "status ne finishedsuccess",
        "Status ge Aborted and status lt Skipped",
    ],
)
def test_it_lets_through(text: str) -> None:
    assert parse_filter(text)(TASK)


@pytest.mark.parametrize(
    "text",
    [
        "id eq 00000000-0000-0000-0000-000000000000",
        "id ne 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
        "enabled eq false",
        "maxRetries eq 20",
        "tags.name eq 'Fin'",
        "customProperties.value eq 'x'",
        "name sw 'task'",
        "name ew 'task'",
        "tags.name so 'Sales'",
        "maxRetries gt 2",
        "maxRetries lt 2",
        "startTime gt '2026-03-01T06:00:00.250Z'",
        "startTime ge '2026-03-01T06:00:00.251Z'",
        "startTime lt '2026-03-01T06:00:00.25Z'",
        "startTime le '2026-03-01 06:00:00'",
        "status eq Queued",
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
        "name gt 'x'",
        "enabled gt true",
        "startTime gt '2026-13-01'",
        "startTime gt 2026-03-01",
        "name eq FinishedFail",
        "status eq Finished",
    ],
)
def test_it_refuses(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text)


def test_it_refuses_a_property_that_does_not_exist() -> None:
    with pytest.raises(FilterError, match="'colour' is no property"):
        parse_filter("tags.colour eq 'red'")(TASK)


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01 06:00:00", "2026-13-01", "7", "true", "FinishedFail"])
def test_a_text_that_reads_like_something_else_is_a_text(text: str) -> None:
    assert parse_filter(f"name eq '{text}'")({"name": text})
    assert not parse_filter(f"name ne '{text}'")({"name": text})


def test_it_reads_thousands_of_alternatives() -> None:
    text = " or ".join([f"maxRetries eq {number}" for number in range(5_000, 10_000)] + ["enabled eq true"])
    assert parse_filter(text)(TASK)


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("maxRetries eq 1 or MAXRETRIES eq 2", {"maxretries": {"1", "2"}}),
        ("(maxRetries eq 1) or (maxRetries eq 2 or maxRetries eq 3)", {"maxretries": {"1", "2", "3"}}),
        ("maxRetries eq 1 and enabled eq true", {"maxretries": {"1"}, "enabled": {"true"}}),
        ("maxRetries eq 1 or maxRetries eq 2 and enabled eq true", {"maxretries": {"1", "2"}}),
        ("maxRetries eq 1 or enabled eq true", {}),
        ("maxRetries ne 1", {}),
        ("maxRetries eq 1 or maxRetries gt 2", {}),
    ],
)
def test_it_tells_which_values_alone_can_pass(text: str, pinned: dict[str, set[str]]) -> None:
    assert parse_filter(text).pinned == pinned


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["a", "B", "c"]),
        ("NAME asc", ["a", "B", "c"]),
        ("name desc", ["c", "B", "a"]),
        ("duration", ["c", "a", "B"]),
        ("duration  DESC", ["B", "a", "c"]),
        ("app.name", ["a", "B", "c"]),
    ],
)
def test_it_sorts_texts_and_numbers(order: str, names: list[str]) -> None:
    durations = {"a": 9, "B": 10, "c": 2}
    documents = [{"name": name, "duration": ms, "app": {"name": name}} for name, ms in durations.items()]
    assert [document["name"] for document in sort_documents(documents, order)] == names


@pytest.mark.parametrize("order", ["", "name down", "name,duration", "colour"])
def test_it_refuses_an_order_that_is_none(order: str) -> None:
    with pytest.raises(FilterError):
        sort_documents([TASK], order)
