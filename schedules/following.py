"""How the reloads go that were started, and whether calls without an answer began one.

Everything is read in two lists, of the runs that QRS has under way and of the attempts that ended, so that a thousand
open runs cost as many calls as one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from qlik.client import QrsClient
from qlik.clocks import ClockReading
from qlik.errors import QrsError
from schedules.follower_turn import FollowerTurn, TurnLostError, take_turn
from schedules.models import QrsSite, Run
from schedules.open_runs import Change, OpenRun, read_open_runs, write_changes
from schedules.qrs_picture import Begun, Picture, take_picture
from schedules.runs import change_rows
from schedules.session_matching import match_sessions
from schedules.verdicts import CLOCK_WAS_SET, close, give_up_unsure, judge, tell_further
from schedules.wakeup import wake_beat

logger = logging.getLogger(__name__)

#: Clocks that have moved against each other by more, since the last look, were set
CLOCK_STEP = timedelta(seconds=2)
#: How much clocks move by themselves: 17 seconds a day
_DRIFT = 0.0002


def follow_runs(get_client: Callable[[], QrsClient], *, now: datetime) -> int:
    """Ask QRS about the open runs and write what is new; return how many changed.

    Two calls at most, a third where the second's answer did not come, and one more where a clock seems to have been
    set. A QRS that is away is no error: the next time will do.
    """
    open_runs = read_open_runs(now=now)
    turn = take_turn(now=now) if open_runs else None
    if turn is None:
        return 0
    learnt: dict[str, object] = {}
    try:
        return _follow(get_client, open_runs, turn=turn, learnt=learnt, now=now)
    except TurnLostError:
        logger.warning("another worker follows since, so what QRS said about %d runs is left to it", len(open_runs))
        return 0
    finally:
        turn.end(**learnt)


def _follow(
    get_client: Callable[[], QrsClient],
    open_runs: Sequence[OpenRun],
    *,
    turn: FollowerTurn,
    learnt: dict[str, object],
    now: datetime,
) -> int:
    by_id = {run.id: run for run in open_runs}
    try:
        client = get_client()
        picture = take_picture(client, open_runs, now=now)
        has_moved, was_set = _compare_clock(client, picture.clock, now=now)
    except QrsError as error:
        logger.warning("QRS cannot be asked how %d runs go: %s", len(open_runs), error)
        return _write(give_up_unsure(open_runs, error=str(error), now=now), by_id, turn=turn, now=now)
    learnt |= {"followed_at": now, "clock_offset": client.clock.offset if has_moved else picture.clock.offset}
    if was_set:
        return _write(_judge_without_clock(open_runs, picture, now=now), by_id, turn=turn, now=now)
    if has_moved:
        # What it says of moments cannot be relied on
        picture = replace(picture, is_partial=True)
    matching = match_sessions(open_runs, picture, now=now)
    changes = _judge_all(matching.runs, picture, now=now)
    judged = {run.id for run in matching.runs}
    left_out = [run for run in open_runs if run.id not in judged]
    changes += give_up_unsure(left_out, error="QRS does not tell whose sessions it has begun.", now=now)
    changed = _write(changes, by_id, turn=turn, now=now)
    _note_further(matching.further, by_id)
    return changed


def _judge_all(runs: Sequence[OpenRun], picture: Picture, *, now: datetime) -> list[Change]:
    changes = []
    for run in runs:
        try:
            change = judge(run, picture, now=now)
        except Exception:
            # Whatever QRS says of one run, the others are followed
            logger.exception("what QRS says about run %s cannot be judged", run.id)
            continue
        if change:
            changes.append(change)
    return changes


def _judge_without_clock(runs: Sequence[OpenRun], picture: Picture, *, now: datetime) -> list[Change]:
    """Judge the runs after a clock was set: what QRS has begun since the calls cannot be told from what it has not.

    A second start must not come of that, so runs without an answer are given up.
    """
    known = [run for run in runs if run.session]
    lost = [close(run, Run.State.UNKNOWN, CLOCK_WAS_SET, now=now) for run in runs if run.is_unsure]
    # Nor can a session that turns up later
    return [*_judge_all(known, picture, now=now), *(change._replace(in_doubt_since=None) for change in lost)]


def _compare_clock(client: QrsClient, clock: ClockReading, *, now: datetime) -> tuple[bool, bool]:
    """Return whether QRS's clock seems to have moved since the last look, and whether it says so once more."""
    before, looked_at = QrsSite.objects.values_list("clock_offset", "followed_at").get(pk=1)
    if before is None or not _has_moved(clock, before, since=looked_at, now=now):
        return False, False
    client.about()
    return True, _has_moved(client.clock, before, since=looked_at, now=now)


def _has_moved(clock: ClockReading, before: timedelta, *, since: datetime | None, now: datetime) -> bool:
    drift = _DRIFT * abs(now - since) if since else timedelta(0)
    return abs(clock.offset - before) - clock.uncertainty - drift > CLOCK_STEP


def _write(changes: Sequence[Change], runs: Mapping[UUID, OpenRun], *, turn: FollowerTurn, now: datetime) -> int:
    """Write what is new, and let runs go on that waited for a task that has ended."""
    if not changes:
        return 0
    changed = write_changes(changes, runs, turn=turn)
    resumed = _resume_waiting([change.id for change in changes if change.closed_at], now=now)
    if resumed or any(change.next_try_at for change in changes):
        wake_beat()
    return changed


def _resume_waiting(closed: Sequence[UUID], *, now: datetime) -> int:
    """Let the runs go on that wait for the tasks of these closed runs to end; return how many."""
    waiting = dict(Run.objects.filter(state=Run.State.WAITING).values_list("pk", "qlik_task_id"))
    if not (closed and waiting):
        return 0
    over = Run.objects.filter(pk__in=closed).exclude(closed_at=None)
    ended = {task_id.lower() for task_id in over.values_list("qlik_task_id", flat=True)}
    due = [run_id for run_id, task_id in waiting.items() if task_id.lower() in ended]
    return change_rows(Run.objects.filter(pk__in=due, state=Run.State.WAITING), next_try_at=now)


def _note_further(further: Mapping[UUID, Sequence[Begun]], runs: Mapping[UUID, OpenRun]) -> None:
    """Note sessions in the messages of runs that have another already: a task may have been started twice."""
    for run_id, sessions in further.items():
        for message in Run.objects.filter(pk=run_id).values_list("message", flat=True):
            told = tell_further(message, sessions)
            if told != message and Run.objects.filter(pk=run_id, message=message).update(message=told):
                logger.error("run %s of task %s: %s", run_id, runs[run_id].task_id, told)
