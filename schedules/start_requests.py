"""Starts that somebody asks for and waits for: by id, by tag, by custom property, answered with what QRS said.

The process that was asked calls QRS itself, for the answer says what was started; see `request_calls`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from uuid import UUID

from django.utils import timezone

from qlik.errors import QrsError, RefusedError
from schedules.allow_list import AllowList, Property, read_allow_list
from schedules.changes import Origin
from schedules.maintenance import refuse_during_maintenance
from schedules.models import Run
from schedules.qrs import BUSY_SECONDS, QrsBusyError, waiting_for_qrs
from schedules.request_calls import make_starts, record_uncalled
from schedules.task_lookup import (
    AnyTask,
    CallFailedError,
    NamedTask,
    has_property,
    has_tag,
    is_allowed,
    look_up_tasks,
    read_ids,
)

#: One request starts no more tasks: whoever asked waits for the last of them
MOST_STARTS = 1000


class TooManyStartsError(ValueError):
    """More tasks are meant than one request may start."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"That would start {count:,} tasks, and one request starts at most {MOST_STARTS:,}. Nothing was started; "
            "name fewer tasks, or send several requests."
        )


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What to start: task ids as they were sent, tags, and custom properties as names with values."""

    task_ids: Sequence[str] = ()
    tags: Sequence[str] = ()
    custom_properties: Sequence[Property] = ()
    # With one unknown id, nothing that is named by its id is started
    all_ids_must_exist: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that QRS did not start: the state of its run, why, and how long QRS does not want to be asked again."""

    task: NamedTask
    state: Run.State
    message: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StartReport:
    """What was started, by the words that named it; a task that several words name was started once."""

    by_id: Sequence[NamedTask] = ()
    invalid_ids: Sequence[str] = ()
    denied_ids: Sequence[str] = ()
    by_tag: Sequence[NamedTask] = ()
    denied_tags: Sequence[str] = ()
    by_property: Sequence[NamedTask] = ()
    denied_properties: Sequence[Property] = ()
    failures: Sequence[Failure] = ()


@dataclass(slots=True)
class _Wanted:
    """The tasks that a request means."""

    by_id: list[NamedTask] = field(default_factory=list)
    by_tag: list[NamedTask] = field(default_factory=list)
    by_property: list[NamedTask] = field(default_factory=list)
    invalid_ids: list[str] = field(default_factory=list)
    denied_ids: list[str] = field(default_factory=list)
    denied_tags: list[str] = field(default_factory=list)
    denied_properties: list[Property] = field(default_factory=list)

    def list_tasks(self) -> list[NamedTask]:
        """Return each of them once."""
        return list(dict.fromkeys([*self.by_id, *self.by_tag, *self.by_property]))


def start_tasks(request: StartRequest, *, origin: Origin) -> StartReport:
    """Start the tasks that a request means, now, and say what came of it.

    A task that QRS refuses is a failure in the report. Raises CallFailedError when QRS was not reached, or its
    answers are lost, and nothing was started, or when too many requests wait for it; MaintenanceError while the site
    is in maintenance; TooManyStartsError.
    """
    refuse_during_maintenance(timezone.now())
    try:
        with waiting_for_qrs():
            return _start(request, message=f"Asked for by {origin.actor or 'somebody'}, {origin.source.label}.")
    except QrsBusyError as error:
        raise CallFailedError(str(error), is_reached=False, retry_after=BUSY_SECONDS) from error


def _start(request: StartRequest, *, message: str) -> StartReport:
    try:
        wanted = _find_wanted(request)
    except QrsError as error:
        _record_unasked(request, error)
        raise _explain([str(error)], state=_state_of_lookup(error), waits=[error.retry_after]) from error
    tasks = wanted.list_tasks()
    if len(tasks) > MOST_STARTS:
        raise TooManyStartsError(len(tasks))
    outcomes = make_starts(tasks, message=message)
    failures = [
        Failure(task, outcome.state, outcome.message, outcome.retry_after)
        for task, outcome in outcomes.items()
        if outcome.state != Run.State.STARTED
    ]
    _raise_unless_answered(failures, asked=len(tasks))
    return _report(wanted, failures)


def _find_wanted(request: StartRequest) -> _Wanted:
    """Ask QRS which tasks are meant, and leave out what the allow-list does not have; raises QrsError."""
    allow_list = read_allow_list()
    ids = read_ids(request.task_ids)
    tags = [tag for tag in request.tags if allow_list.allows_tag(tag)]
    properties = [item for item in request.custom_properties if allow_list.allows_property(*item)]
    known = look_up_tasks(ids.values(), tags=tags, custom_properties=properties)
    wanted = _Wanted(
        by_tag=[NamedTask.of(task) for task in known.values() if has_tag(task, tags)],
        by_property=[NamedTask.of(task) for task in known.values() if has_property(task, properties)],
        denied_tags=[tag for tag in request.tags if tag not in tags],
        denied_properties=[item for item in request.custom_properties if item not in properties],
    )
    for text in dict.fromkeys(request.task_ids):
        _sort_id(text, ids.get(text), known, wanted, allow_list=allow_list)
    if request.all_ids_must_exist and wanted.invalid_ids:
        wanted.denied_ids += [task.id for task in wanted.by_id]
        wanted.by_id.clear()
    return wanted


def _sort_id(
    text: str, task_id: UUID | None, known: Mapping[UUID, AnyTask], wanted: _Wanted, *, allow_list: AllowList
) -> None:
    """Put an id where it belongs. Of one that is not allowed nobody is told whether there is such a task."""
    task = known.get(task_id) if task_id else None
    if task_id and not is_allowed(task_id, task, allow_list=allow_list):
        wanted.denied_ids.append(text)
    elif task is None:
        wanted.invalid_ids.append(text)
    elif (named := NamedTask.of(task)) not in wanted.by_id:
        wanted.by_id.append(named)


def _record_unasked(request: StartRequest, error: QrsError) -> None:
    """Record the starts that were asked for by id, and that QRS could not even be asked about."""
    state = _state_of_lookup(error)
    allow_list = read_allow_list()
    ids = [str(task_id) for task_id in read_ids(request.task_ids).values() if allow_list.may_allow_task(str(task_id))]
    record_uncalled(ids, state=state, message=str(error), availability=error.availability)


def _raise_unless_answered(failures: Sequence[Failure], *, asked: int) -> None:
    """Raise CallFailedError when nothing was started, and QRS has not said no to all of it."""
    states = {failure.state for failure in failures}
    if len(failures) < asked or not states - {Run.State.REFUSED}:
        return
    state = Run.State.UNSURE if Run.State.UNSURE in states else Run.State.UNREACHABLE
    problems = [failure.message for failure in failures if failure.state == state]
    raise _explain(problems, state=state, waits=[failure.retry_after for failure in failures])


def _explain(problems: Sequence[str], *, state: Run.State, waits: Sequence[timedelta | None] = ()) -> CallFailedError:
    more = f" So it was for {len(problems):,} tasks." if len(problems) > 1 else ""
    if state == Run.State.UNSURE:
        advice = "The task may have started: look in the Qlik Management Console before you send the request again."
    elif state == Run.State.UNREACHABLE:
        advice = "Nothing was started. Look whether QRS runs at QRS_URL, and send the request again."
    else:
        advice = "Nothing was started."
    is_reached = state != Run.State.UNREACHABLE
    wait = max((ceil(wait.total_seconds()) for wait in waits if wait is not None), default=None)
    return CallFailedError(
        f"{problems[0]}{more} {advice}", is_reached=is_reached, retry_after=None if is_reached else wait
    )


def _state_of_lookup(error: QrsError) -> Run.State:
    """Return what becomes of a run whose task could not be looked up: it was surely not started."""
    return Run.State.REFUSED if isinstance(error, RefusedError) else Run.State.UNREACHABLE


def _report(wanted: _Wanted, failures: Sequence[Failure]) -> StartReport:
    failed = {failure.task for failure in failures}
    refused = [task.id for task in wanted.by_id if task in failed]
    return StartReport(
        by_id=[task for task in wanted.by_id if task not in failed],
        invalid_ids=wanted.invalid_ids,
        denied_ids=[*wanted.denied_ids, *refused],
        by_tag=[task for task in wanted.by_tag if task not in failed],
        denied_tags=wanted.denied_tags,
        by_property=[task for task in wanted.by_property if task not in failed],
        denied_properties=wanted.denied_properties,
        failures=failures,
    )
