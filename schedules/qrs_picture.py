"""What QRS says at one moment: two lists, whatever the number of runs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from qlik.client import QrsClient, Rows
from qlik.clocks import ClockReading
from qlik.documents import ExecutionResult, ExecutionSession
from qlik.errors import OutcomeUnknownError
from qlik.filters import Filter, all_of, any_of, one_of, since
from schedules.open_runs import OpenRun

logger = logging.getLogger(__name__)

#: Added to what is asked for by its moment, for QRS compares with clocks of its own
_FILTER_MARGIN = timedelta(seconds=10)
#: Runs, or tasks, that are asked for by their ids, so that one call does
_MOST_IDS = 50


class Begun(NamedTuple):
    """A session with the moment at which it began, by this service's clock."""

    at: datetime
    session: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The sessions that are open, and attempts by their session, the first one first.

    `begun` has the sessions of each task that tell when they began; `vague` are those that do not, or not of which
    task they are (None), which may then be any. Of the sessions in `asked` everything is known, and nothing of what
    has begun and is over where it `is_partial`.
    """

    sessions: Mapping[UUID, ExecutionSession] = field(default_factory=dict)
    attempts: Mapping[UUID, Sequence[ExecutionResult]] = field(default_factory=dict)
    begun: Mapping[UUID, Sequence[Begun]] = field(default_factory=dict)
    vague: Sequence[tuple[UUID | None, UUID | None]] = ()
    asked: frozenset[UUID] = frozenset()
    is_partial: bool = False
    clock: ClockReading


def take_picture(client: QrsClient, runs: Sequence[OpenRun], *, now: datetime) -> Picture:
    """Ask QRS for all that is needed to judge the runs, which are in the order of their calls. Raises QrsError."""
    # The sessions first: a run that ends between the two calls is among the ended ones next time
    listed = client.list_sessions(may_skip=True)
    sessions, clock = {session.id: session for session in listed}, client.clock
    gone = [run for run in runs if run.session and run.session not in sessions and run.closed_at is None]
    asked = frozenset(run.session for run in gone[:_MOST_IDS] if run.session)
    by_id = [one_of("executionID", asked)] if asked else []
    begun_since = _filter_begun(gone[_MOST_IDS:], [run for run in runs if run.is_sought(now)], clock=clock)
    results, is_partial = _list_results(client, by_id, begun_since)
    # Of two readings the one that says more
    clock = min(clock, client.clock, key=lambda reading: reading.uncertainty)
    attempts = _sort_attempts(results, now=now)
    begun, vague = _list_begun(sessions, attempts, clock=clock)
    vague += [(result.task_id, None) for result in results if result.execution_id is None]
    if listed.unreadable or results.unreadable:
        vague.append((None, None))
    return Picture(
        sessions=sessions,
        attempts=attempts,
        begun=begun,
        vague=vague,
        asked=asked,
        is_partial=is_partial,
        clock=clock,
    )


def _filter_begun(gone: Sequence[OpenRun], sought: Sequence[OpenRun], *, clock: ClockReading) -> list[Filter]:
    """Return filters of the attempts that have begun since the calls of these runs."""
    # By their beginnings and not by their ends: of a run that Sense tried again, each attempt has an end of its own
    margin = clock.uncertainty + _FILTER_MARGIN
    filters = [since("startTime", gone[0].called_at + clock.offset - margin)] if gone else []
    if sought:
        begun = since("startTime", min(run.sought_from for run in sought) + clock.offset - margin)
        tasks = {run.task_id for run in sought}
        filters.append(all_of(begun, one_of("taskID", tasks)) if len(tasks) <= _MOST_IDS else begun)
    return filters


def _list_results(
    client: QrsClient, by_id: Sequence[Filter], begun_since: Sequence[Filter]
) -> tuple[Rows[ExecutionResult], bool]:
    """Return the attempts that pass one of the filters, and whether they are those of the first filter alone."""
    if not (by_id or begun_since):
        return Rows(), False
    try:
        return client.list_results(where=any_of(*by_id, *begun_since), may_skip=True), False
    except OutcomeUnknownError as error:
        if not (by_id and begun_since):
            raise
        # It may have been too long to come in time. The oldest alone, and the next one is shorter
        logger.warning("QRS could not list all that ended, only the oldest runs are looked at: %s", error)
        return client.list_results(where=by_id[0], may_skip=True), True


def _sort_attempts(results: Sequence[ExecutionResult], *, now: datetime) -> dict[UUID, list[ExecutionResult]]:
    attempts: dict[UUID, list[ExecutionResult]] = defaultdict(list)
    for result in sorted(results, key=lambda result: (result.started_at or now, result.stopped_at or now)):
        if result.execution_id:
            attempts[result.execution_id].append(result)
    return attempts


def _list_begun(
    sessions: Mapping[UUID, ExecutionSession],
    attempts: Mapping[UUID, Sequence[ExecutionResult]],
    *,
    clock: ClockReading,
) -> tuple[Mapping[UUID, Sequence[Begun]], list[tuple[UUID | None, UUID | None]]]:
    begun: dict[UUID, list[Begun]] = defaultdict(list)
    vague: list[tuple[UUID | None, UUID | None]] = []
    for session_id in sessions.keys() | attempts.keys():
        session, parts = sessions.get(session_id), attempts.get(session_id, ())
        tasks = [session.task_id if session else None, *(part.task_id for part in parts)]
        moments = [session.created_at if session else None, *(part.started_at for part in parts)]
        task_id, moment = next(filter(None, tasks), None), next(filter(None, moments), None)
        if task_id and moment:
            begun[task_id].append(Begun(moment - clock.offset, session_id))
        elif task_id or session is None:
            # One that is open and of no task is that of a kind that this service does not start
            vague.append((task_id, session_id))
    return {task_id: sorted(found) for task_id, found in begun.items()}, vague
