"""The account in words and tables: for the terminal, and as docs/chaos/day.md."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from tests.chaos.day.plan import SLOTS, SPEED
from tests.chaos.day.truth import Call, Evidence
from tests.chaos.day.verdict import Account, list_findings
from tests.chaos.report import describe_machine

MOST_FINDINGS = 12
LISTS = ("sessions", "results")
DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
FAULTS = {
    "reset": "reset instead of an answer",
    "hang": "silence past the time-out, then a reset",
    "html": "a page for people with 200",
    "truncated": "JSON that ends too early",
    "cut": "an answer shorter than announced",
    "zero": "the session of zeros",
}
#: What became of a start is the same each time
_CLEAR_FAULTS = frozenset({"truncated", "cut", "zero"})
_CLEAR_STATUSES = frozenset({403, 503})

INTRODUCTION = f"""
{{schedules}} schedules of a working day against real processes: beat, two workers, Redis, and the simulated QRS over
TLS. A minute of the day is a second here: cron texts are compressed by that much, and reloads, queues and Sense's
retries go {SPEED} times as fast, {SLOTS} at once. The service's own pauses and time-outs are not compressed, so this
day is harder than a real one: how reloads go is asked once in a quarter of an hour of the day, and a task that may not
overlap is free again that late. What is due each 30 seconds of a real day is due each second, which is a minute of this
one, for cron knows nothing shorter.
"""
ACCOUNT = """
Then an oracle, which shares no code with the service, compares the ledger row by row with what the simulator has noted:
its journal of calls, and each run that it had, also those that a restart has made it forget.
"""
TURNS = """
Where a run had to give way to another one that the ledger did not yet know to be over, that was over for at most
{seconds:.0f} s.
"""
FOLLOWING = """
Lists of results, which only the follower asks for: {results:.1f} in a minute. Lists of sessions: {sessions:.1f} in a
minute; up to four of them are the follower's, and the others are asked before starts that must not overlap.
"""


def format_account(evidence: Evidence, account: Account) -> str:
    """Return the account for a terminal."""
    lines = [f"{name:<24}{value}" for name, value, _ in list_numbers(evidence, account)]
    lines += [f"  {state:<22}{count:,}" for state, count in account.ends.most_common()]
    lines += [f"  {why}: {count}" for why, count in account.unknowable.items()]
    lines += [f"  {starts:>4} starts {lists:>3} lists: {name}" for name, starts, lists in list_faults_met(evidence)]
    return "\n".join([*lines, *list_findings(account, most=MOST_FINDINGS)])


def list_numbers(evidence: Evidence, account: Account) -> list[tuple[str, str, str]]:
    """Return what was counted: a name, a number and a sentence for each."""
    asked = sum(call.name.startswith("start") for call in evidence.calls)
    numbers = {
        "planned": (account.planned, "Occurrences in the ledger; each that was due has one row."),
        "started once": (account.started_once, "Rows with a session that their own call began, and that no other has."),
        "lost": (len(account.lost), "Due without a row, or without an end although the reload is over."),
        "doubled": (len(account.doubled), "Starts that no row answers for, starts in two rows, second rows."),
        "wrongly reported": (
            len(account.wrong),
            "Another end, moment, duration or number of attempts than Sense's, or an end without its reason.",
        ),
        "still running": (account.running, "Reloads under way when all others were over."),
        "starts asked of QRS": (asked, "With further attempts after a failure."),
    }
    return [(name, f"{number:,}", words) for name, (number, words) in numbers.items()]


def list_faults_met(evidence: Evidence) -> list[tuple[str, int, int]]:
    """Return the faults that calls have met: a name, how many starts, and how many lists."""
    starts, lists = Counter[str](), Counter[str]()
    for call in evidence.calls:
        if call.fault:
            (lists if call.name in LISTS else starts)[_name_fault(call)] += 1
    return [(name, starts[name], lists[name]) for name in sorted(starts | lists)]


def count_a_minute(evidence: Evidence, name: str) -> float:
    """Return how many calls of a kind there were in a minute of real time, from the first to the last."""
    moments = [call.at for call in evidence.calls if call.name == name]
    return len(moments) * 60 / max(moments[-1] - moments[0], 1) if moments else 0.0


def write_page(evidence: Evidence, account: Account, *, seed: int, database: str, began: str, minutes: float) -> str:
    """Return the page."""
    made = f"Made by `python -m tests.chaos.day`, a part of `make chaos`, on {began} in {minutes:.0f} minutes: "
    results, sessions = (count_a_minute(evidence, name) for name in ("results", "sessions"))
    findings = list_findings(account, most=MOST_FINDINGS)
    return "\n".join(
        [
            "# A day, replayed",
            "",
            _wrap(f"{made}{describe_machine()}, {DATABASES[database]}, seed {seed}."),
            "",
            _wrap(INTRODUCTION.format(schedules=len(evidence.duties))),
            "",
            _wrap(ACCOUNT),
            "",
            *_make_table("| | | |", list_numbers(evidence, account)),
            *(["```", *findings, "```", ""] if findings else []),
            "## How runs ended",
            "",
            *_make_table("| state | runs |", [(state, f"{count:,}") for state, count in account.ends.most_common()]),
            *_tell_unknowable(account),
            _wrap(TURNS.format(seconds=account.longest_turn)),
            "",
            "## What went wrong on the way",
            "",
            *_make_table("| answer | starts | lists |", list_faults_met(evidence)),
            *_make_table("| hour of the day | |", [(_tell_hour(minute), words) for minute, words in evidence.events]),
            "## What following costs",
            "",
            _wrap(FOLLOWING.format(results=results, sessions=sessions)),
            "",
        ]
    )


def _tell_unknowable(account: Account) -> list[str]:
    if not account.unknowable:
        return []
    return ["What nobody could know:", "", *(f"- {why}: {n}" for why, n in account.unknowable.items()), ""]


def _name_fault(call: Call) -> str:
    name = str(call.status) if call.fault == "refuse" else FAULTS[call.fault or ""]
    if call.name in LISTS or call.fault in _CLEAR_FAULTS or call.status in _CLEAR_STATUSES:
        return name
    return f"{name}, and it began" if call.outcome == "started" else f"{name}, and nothing began"


def _make_table(head: str, rows: Sequence[Sequence[object]]) -> list[str]:
    columns = head.count("|") - 1
    return [head, "|---" * columns + "|", *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def _tell_hour(minute: float) -> str:
    return f"{int(minute) // 60:02}:{int(minute) % 60:02}"


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), width=120)
