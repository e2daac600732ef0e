"""The account of a day, run by run: what the ledger says against what the simulator knows. Pure.

Nothing is taken from the service but the ledger's rows; the rules are those of docs/design.md, written down anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from tests.chaos.day.plan import Duty
from tests.chaos.day.truth import Call, Evidence, Reload, Row

#: Clocks are the same, but moments are written with milliseconds
EXACT = 0.005
#: Between the start of a call by the service and its reading by the simulator, and the other way round
CALL_SLACK = 0.25
#: By how much a schedule's own edit may be late or early for a run that is due at that moment
EDIT_SLACK = 2.0
#: A list that says what runs is so old at most when a start follows, with a second for a slow machine
LOOK_SLACK = 3.0
#: A run is closed by the moment at which its follower set out, and written when QRS has answered, at last
FOLLOW_SLACK = 10.0
#: A turn is free at the latest so long after its reload was over: a failed list or two, or an outage, delays that
TURN_LIMIT = 120.0
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
FINISHED, FAILED, ABORTED, RESET = 7, 8, 6, 12

#: What nobody could have known, by the service's means
FORGOTTEN = "Sense forgot the reload in a restart: how it ended cannot be told"
FORGOTTEN_START = "Sense forgot the start of a call without an answer, so the run was started again"
BY_HAND = "somebody started the task in Sense between the question whether it runs and the start"


@dataclass(slots=True)
class Account:
    """What was found; `lost`, `doubled` and `wrong` have a line for each run that is."""

    planned: int = 0
    started_once: int = 0
    running: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    #: What cannot be told by anybody, and is no fault
    unknowable: Counter[str] = field(default_factory=Counter)
    #: The longest time in seconds that a run was kept waiting, or skipped, by a reload that was over
    longest_turn: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether all is as it has to be."""
        return not (self.lost or self.doubled or self.wrong)


def judge_day(evidence: Evidence) -> Account:
    """Compare the ledger with the simulator's knowledge, run by run."""
    account = Account(planned=sum(row.occurrences for row in evidence.rows))
    ledger = _Ledger(evidence)
    _judge_occurrences(account, evidence)
    _judge_starts(account, evidence, ledger)
    for row in evidence.rows:
        reload = evidence.reloads.get(row.session or "")
        state = "running" if row.state == "started" and reload and reload.over_at == inf else row.state
        account.ends[state] += row.occurrences
        account.wrong += [f"{_name(row)}: {problem}" for problem in _find_problems(row, reload, ledger, account)]
    account.running = account.ends["running"]
    return account


class _Ledger:
    """The evidence, by what it is looked for."""

    def __init__(self, evidence: Evidence) -> None:
        self.duties: Mapping[str, Duty] = {duty.name: duty for duty in evidence.duties}
        self.deleted = evidence.deleted
        self.reloads = evidence.reloads
        self.rows_by_session: dict[str, list[Row]] = defaultdict(list)
        self.rows_by_task: dict[str, list[Row]] = defaultdict(list)
        self.calls_by_task: dict[str, list[Call]] = defaultdict(list)
        self.reloads_by_task: dict[str, list[Reload]] = defaultdict(list)
        for row in evidence.rows:
            self.rows_by_task[row.task_id].append(row)
            if row.session:
                self.rows_by_session[row.session].append(row)
        for call in evidence.calls:
            if call.task_id and call.name.startswith("start"):
                self.calls_by_task[call.task_id].append(call)
        for reload in evidence.reloads.values():
            self.reloads_by_task[reload.task_id].append(reload)

    def calls_of(self, row: Row) -> list[Call]:
        """Return the starts that the simulator was asked for while this row's last call was on its way."""
        if row.called_at is None or row.answered_at is None:
            return []
        first, last = row.called_at - CALL_SLACK, row.answered_at + CALL_SLACK
        return [call for call in self.calls_by_task[row.task_id] if first <= call.at <= last]


# What was due


def _judge_occurrences(account: Account, evidence: Evidence) -> None:
    """Check that each occurrence has one row, and each row an occurrence."""
    rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in evidence.rows:
        rows[row.schedule_name, round(row.due_at)].append(row)
    for duty in evidence.duties:
        until = evidence.deleted.get(duty.name, inf)
        covered = 0
        for due in duty.list_due(evidence.day):
            found = rows.pop((duty.name, due), [])
            covered = max(covered - 1, max((row.occurrences for row in found), default=0))
            if len(found) > 1:
                account.doubled.append(f"{duty.title} due {due} has {len(found)} rows")
            if not covered and due < until - EDIT_SLACK:
                account.lost.append(f"{duty.title} due {due} has no row")
            if found and due > until + EDIT_SLACK:
                account.wrong.append(f"{duty.title} due {due} was planned although it was deleted at {until:.0f}")
    account.wrong += [f"{_name(row)} was not due" for extra in rows.values() for row in extra]


# What was started


def _judge_starts(account: Account, evidence: Evidence, ledger: _Ledger) -> None:
    """Check that each start belongs to one row, and that the tasks of cautious schedules did not run side by side."""
    for session, rows in ledger.rows_by_session.items():
        if len(rows) > 1:
            account.doubled.append(f"session {session[:8]} stands in {len(rows)} rows, {', '.join(map(_name, rows))}")
        elif session in ledger.reloads:
            account.started_once += 1
    for reload in evidence.reloads.values():
        if reload.is_by_hand or reload.session in ledger.rows_by_session:
            continue
        if reload.is_lost and not reload.attempts:
            account.unknowable[FORGOTTEN_START] += 1
        else:
            account.doubled.append(f"{reload.task_id[:8]} was started at {reload.begun_at:.3f}, and no row says so")
    for session, rows in ledger.rows_by_session.items():
        duty = ledger.duties.get(rows[0].schedule_name)
        if duty and duty.overlap != "allow" and session in ledger.reloads:
            _judge_overlap(account, rows[0], ledger.reloads[session], ledger)


def _judge_overlap(account: Account, row: Row, reload: Reload, ledger: _Ledger) -> None:
    for other in ledger.reloads_by_task[reload.task_id]:
        if other is reload or not other.begun_at <= reload.begun_at < other.over_at - EXACT:
            continue
        if other.is_by_hand and reload.begun_at - other.begun_at < LOOK_SLACK:
            account.unknowable[BY_HAND] += 1
        else:
            account.wrong.append(f"{_name(row)} was started beside session {other.session[:8]}")


# What was said of it


def _find_problems(row: Row, reload: Reload | None, ledger: _Ledger, account: Account) -> Iterator[str]:
    """Yield what is wrong with one row."""
    duty = ledger.duties.get(row.schedule_name)
    if duty and duty.max_attempts is not None and row.attempts > duty.max_attempts:
        yield f"tried {row.attempts} times, {duty.max_attempts} are allowed"
    if row.session:
        yield from _judge_session(row, reload, ledger)
    match row.state:
        case "started" | "succeeded" | "failed" | "aborted":
            if reload is None:
                yield "Sense knows no such session"
            else:
                yield from _judge_reload(row, reload, account)
        case "skipped":
            yield from _judge_skipped(row, duty, ledger, account)
        case "refused":
            yield from _judge_refused(row, ledger)
        case "unreachable":
            yield from _judge_unreachable(row, duty, ledger)
        case "unknown":
            yield from _judge_unknown(row, reload, account)
        case _:
            account.lost.append(f"{_name(row)} has no end: {row.message}")


def _judge_session(row: Row, reload: Reload | None, ledger: _Ledger) -> Iterator[str]:
    """Check that the session is that of this row's own call."""
    if row.state in ("skipped", "refused", "unreachable"):
        yield "it has a session, although it was not started"
    if reload is None:
        return
    if reload.task_id != row.task_id:
        yield f"its session {reload.session[:8]} is of another task"
    elif reload.is_by_hand:
        yield f"its session {reload.session[:8]} was begun by somebody else"
    else:
        first = row.called_at or row.claimed_at or row.planned_at
        if not first - CALL_SLACK <= reload.begun_at <= (row.answered_at or inf) + CALL_SLACK:
            yield f"its session was begun at {reload.begun_at:.3f}, called {row.called_at}, answered {row.answered_at}"


def _judge_reload(row: Row, reload: Reload, account: Account) -> Iterator[str]:
    """Check state, attempts and times of a run that was started."""
    if row.state == "started":
        if reload.over_at < inf:
            account.lost.append(f"{_name(row)}: its reload is over, and nobody has noticed")
        return
    if not reload.attempts or reload.over_at == inf:
        yield f"Sense cannot have said how it ended: {len(reload.attempts)} attempts, over at {reload.over_at}"
        return
    first, last = reload.attempts[0], reload.attempts[-1]
    wanted = {FINISHED: "succeeded", ABORTED: "aborted"}.get(last.status, "failed")
    if row.state != wanted or row.reload_status != last.status:
        yield f"it is {wanted}, status {last.status}, not {row.reload_status}"
    if row.reload_attempts != len(reload.attempts):
        yield f"Sense made {len(reload.attempts)} attempts, not {row.reload_attempts}"
    numbers = {
        "began": (row.reload_started_at, first.started_at),
        "ended": (row.ended_at, last.stopped_at),
        "lasted": (row.reload_duration, last.stopped_at - last.started_at),
    }
    for what, (told, true) in numbers.items():
        if told is None or abs(told - true) > EXACT:
            yield f"it {what} {true:.3f}, not {told}"


def _judge_refused(row: Row, ledger: _Ledger) -> Iterator[str]:
    """Check that QRS said no, and nothing began."""
    calls = ledger.calls_of(row)
    if not any(call.outcome in ("refused", "not started") or call.status == 403 for call in calls):
        yield f"QRS did not refuse it: {[(call.outcome, call.status) for call in calls]}"


def _judge_unreachable(row: Row, duty: Duty | None, ledger: _Ledger) -> Iterator[str]:
    """Check that its time, or its attempts, were used up. That nothing began is checked from the other side."""
    closed_at = row.closed_at or 0.0
    if duty is None or closed_at > ledger.deleted.get(duty.name, inf):
        return
    # That of a worker that was lost is not in the ledger
    attempts = row.attempts + ("worker was lost" in row.message)
    if duty.max_attempts is not None and attempts >= duty.max_attempts:
        return
    pause = min(FIRST_PAUSE * 2 ** max(attempts - 1, 0), LONGEST_PAUSE) * 1.25
    if closed_at + pause < row.due_at + duty.deadline:
        left = row.due_at + duty.deadline - closed_at
        yield f"given up {left:.0f} s too early, after {attempts} attempts: {row.message}"


def _judge_unknown(row: Row, reload: Reload | None, account: Account) -> Iterator[str]:
    if reload and reload.is_lost and not reload.attempts:
        account.unknowable[FORGOTTEN] += 1
    else:
        yield f"it could be known: {row.message}"


def _judge_skipped(row: Row, duty: Duty | None, ledger: _Ledger, account: Account) -> Iterator[str]:
    """Check that there was the reason that is given."""
    said, closed_at = row.message, row.closed_at or 0.0
    if duty is None:
        yield "it is of no schedule"
    elif said.startswith("Overlap:"):
        yield from _judge_yielding(row, duty, ledger, account)
    elif said.startswith(("Misfire:", "Overdue")):
        if closed_at - row.due_at < duty.grace:
            yield f"skipped after {closed_at - row.due_at:.1f} s, before its grace was over: {said}"
        if "later run" in said and not _is_replaced(row, ledger):
            yield f"no later run replaces it: {said}"
    elif "deleted" in said:
        if closed_at < ledger.deleted.get(duty.name, inf) - EDIT_SLACK:
            yield f"its schedule was there: {said}"
    else:
        yield f"skipped for no reason: {said!r}"


def _is_replaced(row: Row, ledger: _Ledger) -> bool:
    rows = ledger.rows_by_task[row.task_id]
    return any(other.schedule_name == row.schedule_name and other.due_at > row.due_at for other in rows)


def _judge_yielding(row: Row, duty: Duty, ledger: _Ledger, account: Account) -> Iterator[str]:
    """Check that another run of the task was, or by the ledger may have been, under way when this one was skipped."""
    if duty.overlap == "allow":
        yield "skipped for an overlap that its schedule allows"
    moment = row.closed_at or 0.0
    reloads = ledger.reloads_by_task[row.task_id]
    if any(reload.begun_at <= moment + EXACT and moment < reload.over_at + LOOK_SLACK for reload in reloads):
        return
    holders = [
        other
        for other in ledger.rows_by_task[row.task_id]
        if other is not row and other.planned_at <= moment <= (other.closed_at or inf) + FOLLOW_SLACK
    ]
    if not holders:
        yield f"no other run of the task was open: {row.message}"
        return
    ends = [ledger.reloads[other.session] for other in holders if other.session in ledger.reloads]
    overdue = [moment - reload.over_at for reload in ends if not reload.is_lost]
    account.longest_turn = max([account.longest_turn, *overdue])
    if overdue and min(overdue) > TURN_LIMIT and len(overdue) == len(holders):
        yield f"the reload that it gave way to was over for {min(overdue):.0f} s: {row.message}"


def _name(row: Row) -> str:
    return f"{row.schedule_name[:8]} due {row.due_at:.0f} {row.state}"


def list_findings(account: Account, *, most: int) -> Sequence[str]:
    """Return the findings in lines, at most so many of each kind."""
    lines = []
    for kind in ("lost", "doubled", "wrong"):
        found: list[str] = getattr(account, kind)
        lines += [f"{kind}: {finding}" for finding in found[:most]]
        if len(found) > most:
            lines.append(f"{kind}: ... and {len(found) - most} more")
    return lines
