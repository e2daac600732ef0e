"""Which sessions of QRS belong to which runs: to each call without an answer the one that it began.

QRS does not say who began a session. So it is told by task and moment, and by what no other run owns; where it cannot
be told, the run stays in doubt and is not called again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from qlik.settings import Authentication
from schedules.models import Run
from schedules.open_runs import OpenRun
from schedules.qrs_picture import Begun, Picture

#: A session that seems to have begun longer before a call is not taken for that of the call, however little is known
#: of the clocks; up to so long before it is never taken for somebody else's
PRECISION = timedelta(seconds=1)
#: QRS's nodes have clocks of their own; further than this they are not taken to be apart
_MOST_EARLY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Matching:
    """Runs that can be judged, with their sessions, and the further sessions that calls of theirs may have begun."""

    runs: Sequence[OpenRun]
    further: Mapping[UUID, Sequence[Begun]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Precision:
    """How long before its call a session may seem to have begun: to be taken for the call's, and to be in doubt.

    `clock` is how well the moments of QRS can be compared with ours.
    """

    clock: timedelta
    own: timedelta
    doubtful: timedelta

    def may_own(self, run: OpenRun, moment: datetime) -> bool:
        return run.sought_from - self.own <= moment <= run.sought_until + self.doubtful

    def leaves_in_doubt(self, run: OpenRun, moment: datetime) -> bool:
        return run.sought_from - self.doubtful <= moment < run.sought_from - self.own


def match_sessions(runs: Sequence[OpenRun], picture: Picture, *, now: datetime) -> Matching:
    """Return the runs, each without a session with the one that its call began, where there is one.

    Left out are runs of which nothing can be told: their session may be that of a call that is on its way, it was not
    told what has begun, or a session of their task does not say when it began.
    """
    sought = [run for run in runs if run.is_sought(now)]
    if picture.is_partial:
        return Matching([run for run in runs if run.session])
    tasks = {run.task_id for run in sought}
    found = [begun.session for task_id in tasks for begun in picture.begun.get(task_id, ())]
    vague = [(task_id, session) for task_id, session in picture.vague if task_id is None or task_id in tasks]
    if not (found or vague):
        return Matching(list(runs))
    # Before what is taken, or a call that is recorded between the two would be in neither
    calling = _list_calling(besides=runs)
    # A session belongs to one run. It may also be that of a start by somebody else, at the very moment
    taken = _list_taken([*found, *(session for _, session in vague if session)])
    free = {
        task_id: [item for item in picture.begun.get(task_id, ()) if item.session not in taken] for task_id in tasks
    }
    unclear = {task_id for task_id, session in vague if session not in taken}
    precision = _measure_precision(runs, picture)
    matched = _match_nearest([run for run in sought if not run.session], free, precision=precision)
    given = set(matched.values())
    left = {task_id: [item for item in items if item.session not in given] for task_id, items in free.items()}
    judged = [
        replace(run, session=run.session or matched.get(run.id))
        for run in runs
        if run.session
        or not (_is_calling(run, matched, calling) or _is_unclear(run, matched, left, unclear, precision))
    ]
    further = _match_further(
        [run for run in judged if str(run.task_id) not in calling], left, precision=precision, now=now
    )
    return Matching(judged, further)


def _measure_precision(runs: Sequence[OpenRun], picture: Picture) -> _Precision:
    """Return how well moments of QRS can be compared with ours.

    What sessions whose runs are known seem to have begun too early, others may as well: their moments are written by
    other nodes than the one whose clock was read.
    """
    early = [
        run.called_at - (session.created_at - picture.clock.offset)
        for run in runs
        if run.session and run.in_doubt_since is None and run.answered_at
        if (session := picture.sessions.get(run.session)) and session.created_at
    ]
    seen = min(max(early, default=timedelta(0)), _MOST_EARLY)
    clock = picture.clock.uncertainty
    own = min(clock, PRECISION)
    own += seen if seen > own else timedelta(0)
    # Behind a virtual proxy the clock that was read is that of the proxy, and not of what begins sessions
    unmeasured = timedelta(0) if settings.QRS_AUTH == Authentication.CERTIFICATE else _MOST_EARLY
    return _Precision(clock, own, max(clock, PRECISION, own, unmeasured))


def _list_taken(sessions: Collection[UUID]) -> set[UUID | None]:
    return {*Run.objects.filter(qrs_session__in=sessions).values_list("qrs_session", flat=True)}


def _list_calling(*, besides: Sequence[OpenRun]) -> set[str]:
    """Return the tasks of calls that are on their way, or have become unsure since the open runs were read."""
    states = [Run.State.CLAIMED, Run.State.UNSURE]
    known = {run.id for run in besides}
    rows = Run.objects.filter(state__in=states).values_list("pk", "qlik_task_id", "state")
    return {task_id.lower() for run_id, task_id, state in rows if state == Run.State.CLAIMED or run_id not in known}


def _match_nearest(
    runs: Sequence[OpenRun], free: Mapping[UUID, Sequence[Begun]], *, precision: _Precision
) -> dict[UUID, UUID]:
    """Return the sessions that calls have begun, by their runs: of several, the one that began nearest to the call.

    Of calls that are as near as can be told, the last one.
    """
    pairs = sorted(
        (max(distance - precision.clock, timedelta(0)), -run.called_at.timestamp(), distance, item.session, run.id)
        for run in runs
        for item in free.get(run.task_id, ())
        if precision.may_own(run, item.at)
        for distance in [abs(item.at - run.called_at)]
    )
    matched: dict[UUID, UUID] = {}
    given: set[UUID] = set()
    for *_, session, run_id in pairs:
        if run_id not in matched and session not in given:
            matched[run_id] = session
            given.add(session)
    return matched


def _is_calling(run: OpenRun, matched: Mapping[UUID, UUID], calling: Collection[str]) -> bool:
    return run.id in matched and str(run.task_id) in calling


def _is_unclear(
    run: OpenRun,
    matched: Mapping[UUID, UUID],
    left: Mapping[UUID, Sequence[Begun]],
    unclear: Collection[UUID | None],
    precision: _Precision,
) -> bool:
    """Return whether a session may be that of a run which has none, and nobody can tell."""
    if run.id in matched:
        return False
    doubtful = any(precision.leaves_in_doubt(run, item.at) for item in left.get(run.task_id, ()))
    return doubtful or run.task_id in unclear or None in unclear


def _match_further(
    runs: Sequence[OpenRun], left: Mapping[UUID, Sequence[Begun]], *, precision: _Precision, now: datetime
) -> Mapping[UUID, Sequence[Begun]]:
    """Return, by their runs, the sessions that nobody owns and that an earlier call of a run may have begun."""
    twice = [run for run in runs if run.session and run.in_doubt_since and run.is_sought(now)]
    given: set[UUID] = set()
    further: dict[UUID, list[Begun]] = {}
    for run in twice:
        for item in left.get(run.task_id, ()):
            if item.session not in given and precision.may_own(run, item.at):
                given.add(item.session)
                further.setdefault(run.id, []).append(item)
    return further
