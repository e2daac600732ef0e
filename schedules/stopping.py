"""Stops of reloads that are under way: asked of QRS, and noted in the ledger with who asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, F, TextField, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from qlik.documents import ExecutionSession
from qlik.errors import NotStartedError, QrsError
from qlik.filters import one_of
from schedules import services
from schedules.allow_list import AllowList
from schedules.changes import Origin
from schedules.models import Run, Schedule
from schedules.qrs import BUSY_SECONDS, QrsBusyError, qrs_client, waiting_for_qrs
from schedules.runs import change_rows
from schedules.targets import TaskIndex
from schedules.task_lookup import AnyTask, CallFailedError, NamedTask, is_allowed, look_up_tasks, read_ids


@dataclass(frozen=True, slots=True)
class StopReport:
    """What was told to stop, what did not run, ids that are not those of tasks, and ids that are not allowed."""

    stopped: Sequence[NamedTask] = ()
    idle: Sequence[NamedTask] = ()
    invalid_ids: Sequence[str] = ()
    denied_ids: Sequence[str] = ()


def stop_tasks(task_ids: Iterable[str], *, origin: Origin, allow_list: AllowList | None = None) -> StopReport:
    """Stop all that runs of the tasks with these ids, whoever started it; it takes QRS a while.

    What an allow-list does not have stays as it is.
    Raises CallFailedError when QRS was not reached, or did not do it, or when too many requests wait for it.
    """
    try:
        with waiting_for_qrs():
            return _stop_named(list(dict.fromkeys(task_ids)), origin=origin, allow_list=allow_list)
    except QrsBusyError as error:
        raise CallFailedError(str(error), is_reached=False, retry_after=BUSY_SECONDS) from error
    except QrsError as error:
        raise _explain(error) from error


def _stop_named(texts: Sequence[str], *, origin: Origin, allow_list: AllowList | None) -> StopReport:
    ids = read_ids(texts)
    known = dict(look_up_tasks(ids.values()))
    denied = [text for text, task_id in ids.items() if not _may_stop(task_id, known.get(task_id), allow_list)]
    for text in denied:
        known.pop(ids[text], None)
    running = _stop(known.keys(), origin=origin)
    return StopReport(
        stopped=[NamedTask.of(task) for task_id, task in known.items() if task_id in running],
        idle=[NamedTask.of(task) for task_id, task in known.items() if task_id not in running],
        invalid_ids=[text for text in texts if ids.get(text) not in known and text not in denied],
        denied_ids=denied,
    )


def stop_reloads(public_ids: Iterable[str], *, origin: Origin) -> list[Schedule]:
    """Stop what runs of the tasks of these schedules, whoever started it; return the schedules of which one ran.

    Raises UnknownScheduleError, and CallFailedError as stop_tasks does.
    """
    schedules = [services.get_schedule(public_id) for public_id in public_ids]
    tasks = TaskIndex()
    task_ids = {schedule: tasks.resolve(schedule) for schedule in schedules}
    report = stop_tasks((task_id for ids in task_ids.values() for task_id in ids), origin=origin)
    stopped = {task.id for task in report.stopped}
    return [schedule for schedule, ids in task_ids.items() if not stopped.isdisjoint(ids)]


def _may_stop(task_id: UUID, task: AnyTask | None, allow_list: AllowList | None) -> bool:
    return allow_list is None or is_allowed(task_id, task, allow_list=allow_list)


def _stop(task_ids: Collection[UUID], *, origin: Origin) -> set[UUID]:
    """Stop the tasks and return those that were running."""
    client = qrs_client()
    sessions = client.list_sessions(where=one_of("reloadTask.id", task_ids))
    # Without the lock that writing takes
    run_ids = _find_runs(sessions)
    for task_id in task_ids:
        # Also a task without a session: one may have begun since
        client.stop_task(task_id)
    _note(run_ids, origin=origin)
    return {session.task_id for session in sessions if session.task_id}


def _find_runs(sessions: Collection[ExecutionSession]) -> list[UUID]:
    """Return the keys of the runs with these sessions."""
    rows = Run.objects.filter(qrs_session__in=[session.id for session in sessions]).order_by()
    return list(rows.values_list("pk", flat=True))


def _note(run_ids: Collection[UUID], *, origin: Origin) -> None:
    """Add to the messages of these runs that they were told to stop, when and by whom."""
    who = f"{origin.actor or 'somebody'}, {origin.source.label}"
    note = f"Told to stop at {timezone.now():%Y-%m-%d %H:%M:%S} UTC by {who}."
    added = Concat(F("message"), Value(f" {note}"), output_field=TextField())
    message = Case(When(message="", then=Value(note)), default=added, output_field=TextField())
    change_rows(Run.objects.filter(pk__in=run_ids), message=message)


def _explain(error: QrsError) -> CallFailedError:
    is_reached = not isinstance(error, NotStartedError)
    advice = (
        "Look in the Qlik Management Console whether the task still runs."
        if is_reached
        else "Nothing was stopped. Look whether QRS runs at QRS_URL, and try again."
    )
    return CallFailedError(f"{error} {advice}", is_reached=is_reached)
