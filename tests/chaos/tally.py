"""The comparison of what was due with the ledger and the journal: lost, doubled, skipped, late. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.journal import Start
from tests.chaos.ledger import FINAL, STARTED, Row
from tests.chaos.oracle import Fate

#: What the oracle says: for each task, the fate of each due instant
Expected = Mapping[str, Mapping[int, Fate]]


@dataclass(slots=True)
class Tally:
    """What the comparison found; `findings` has a line for each thing that must not be."""

    planned: int = 0
    started: int = 0
    lost: int = 0
    doubled: int = 0
    skipped: int = 0
    others: Counter[str] = field(default_factory=Counter)
    worst_gap: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another one in."""
        for name in ("planned", "started", "lost", "doubled", "skipped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.others += other.others
        self.worst_gap = max(self.worst_gap, other.worst_gap)
        self.findings += other.findings


def compare(
    expected: Expected,
    rows: Sequence[Row],
    starts: Sequence[Start],
    *,
    begin: float,
    end: float,
    may_repeat: bool = False,
    slow_clock: float = 0.0,
) -> Tally:
    """Compare the occurrences due in (begin, end] with the ledger's rows and the journal's starts.

    Rows due outside that span only serve to know whose starts are whose. `may_repeat` lets one instant have several
    rows, of a clock that was set back. `slow_clock` is by how many seconds the service's clock lags the journal's.
    """
    tally = Tally()
    by_session: dict[str, list[Start]] = defaultdict(list)
    for start in starts:
        by_session[start.session].append(start)
    within = [row for row in rows if begin < row.due_at <= end]
    _count_rows(tally, within, by_session, slow_clock)
    _find_doubles(tally, rows, starts, within=within, may_repeat=may_repeat)
    covered = _cover(expected, within)
    for task_id, fates in expected.items():
        for due, fate in fates.items():
            _judge(tally, due, fate, covered.pop((task_id, due), []))
    for (task_id, due), unasked in covered.items():
        tally.findings.append(f"not due at all: {task_id[:8]} at {due}, {unasked[0].state} ({unasked[0].reason})")
    return tally


def _count_rows(tally: Tally, rows: Sequence[Row], by_session: Mapping[str, list[Start]], slow_clock: float) -> None:
    for row in rows:
        tally.planned += row.occurrences
        found = by_session.get(row.session or "", [])
        if row.state in STARTED and found:
            tally.started += 1
            tally.worst_gap = max(tally.worst_gap, found[0].at - slow_clock - row.due_at)
        elif row.state in STARTED:
            tally.lost += 1
            tally.findings.append(f"started in the ledger, unknown to QRS: {_name(row)}")
        elif row.state == "skipped":
            tally.skipped += row.occurrences
            if not row.message:
                tally.findings.append(f"skipped without a reason: {_name(row)}")
        else:
            tally.others[row.state] += row.occurrences


def _find_doubles(
    tally: Tally, rows: Sequence[Row], starts: Sequence[Start], *, within: Sequence[Row], may_repeat: bool
) -> None:
    """Count starts that no row answers for, and instants with more than one started row."""
    sessions = {row.session for row in rows if row.session}
    # Of a run that ends as unknown, one start may be in the journal under a session that the ledger never learnt
    unsaid = Counter(row.task_id for row in rows if not row.session and row.state in ("unknown", "claimed", "unsure"))
    for session, count in Counter(start.session for start in starts).items():
        if session in sessions and count > 1:
            tally.doubled += count - 1
            tally.findings.append(f"session {session[:8]} is {count} times in the journal")
    extra = Counter(start.task_id for start in starts if start.session not in sessions)
    for task_id, count in (extra - unsaid).items():
        tally.doubled += count
        tally.findings.append(f"{count} starts of task {task_id[:8]} that no row of the ledger knows")
    shared = Counter((row.task_id, row.due_at) for row in within if row.state in STARTED)
    for (task_id, due), count in shared.items():
        if count > 1 and not may_repeat:
            tally.doubled += count - 1
            tally.findings.append(f"task {task_id[:8]} started {count} times for {due:.0f}")
    for session, count in Counter(row.session for row in rows if row.session).items():
        if count > 1:
            tally.findings.append(f"session {session[:8]} stands in {count} rows of the ledger")


def _cover(expected: Expected, rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """Return the rows that answer for each instant of each task; one row may answer for many instants."""
    covered: dict[tuple[str, int], list[Row]] = defaultdict(list)
    order = {task_id: sorted(fates) for task_id, fates in expected.items()}
    places = {task_id: {due: place for place, due in enumerate(due)} for task_id, due in order.items()}
    for row in rows:
        place = places.get(row.task_id, {}).get(round(row.due_at))
        if row.occurrences > 1 and place is not None:
            for due in order[row.task_id][place : place + row.occurrences]:
                covered[row.task_id, due].append(row)
        else:
            covered[row.task_id, round(row.due_at)].append(row)
    return covered


def _judge(tally: Tally, due: int, fate: Fate, rows: Sequence[Row]) -> None:
    """Check that the rows of one instant are what its fate says."""
    states = {row.state for row in rows}
    if not rows:
        if fate is not Fate.MAYBE:
            tally.lost += 1
            tally.findings.append(f"no row for {due}, which had to {fate}")
    elif not states <= FINAL:
        tally.lost += 1
        tally.findings.append(f"no final state: {_name(rows[0])}")
    elif fate is Fate.START and states == {"skipped"}:
        tally.lost += 1
        tally.findings.append(f"skipped, but had to start: {_name(rows[0])}: {rows[0].message}")
    elif fate is Fate.SKIP and states != {"skipped"}:
        tally.findings.append(f"had to be skipped: {_name(rows[0])}")


def _name(row: Row) -> str:
    return f"{row.task_id[:8]} due {row.due_at:.0f} {row.state} ({row.reason}, {row.occurrences})"
