"""Butler's words for starts that are asked for: the body that names tasks, and the answer that tells of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ParseError, ValidationError

from qlik.execution import ExecutionStatus
from schedules.fields import MOST_SHOWN, shown
from schedules.models import QlikTask, Schedule
from schedules.periods import format_moment
from schedules.start_requests import StartReport, StartRequest
from schedules.stopping import StopReport
from schedules.task_lookup import NamedTask
from schedules.validators import NO_TASK_ID

#: The longest tag, name or value that is looked for
LONGEST_TEXT = 255

_KEYS: Mapping[str, tuple[str, ...]] = {
    "starttaskid": ("taskId",),
    "starttasktag": ("tag",),
    "starttaskcustomproperty": ("customPropertyName", "customPropertyValue"),
}
_KINDS = ", ".join(_KEYS)
_NO_STORE = "This service has no key-value store, so nothing was started. Leave the item out."


def read_start_request(task_id: str, body: object, query: QueryDict) -> StartRequest:
    """Return what a request means; raises ParseError and ValidationError, with all that is wrong with the body."""
    must_exist = _read_flag(query, "allTaskIdsMustExist")
    named: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in _KEYS}
    problems: dict[str, list[str]] = {}
    for number, item in enumerate(_list_items(body)):
        try:
            kind, values = _read_item(item)
            named[kind].append(values)
        except ValidationError as error:
            told: Any = error.detail
            problems |= {f"[{number}]{place}": list(map(str, texts)) for place, texts in told.items()}
        if len(problems) >= MOST_SHOWN:
            break
    if problems:
        raise ValidationError(problems)
    return StartRequest(
        task_ids=[*([] if task_id == NO_TASK_ID else [task_id]), *(text for (text,) in named["starttaskid"])],
        tags=[tag for (tag,) in named["starttasktag"]],
        custom_properties=[(name, value) for name, value in named["starttaskcustomproperty"]],
        all_ids_must_exist=must_exist,
    )


def describe_report(report: StartReport) -> dict[str, Any]:
    """Return the report in Butler's words; what QRS did not start comes after them, where there is such."""
    failed = [
        {**_describe_task(failure.task), "state": failure.state.value, "message": failure.message}
        for failure in report.failures
    ]
    return {
        "tasksId": {
            "started": _describe_tasks(report.by_id),
            "invalid": [{"taskId": task_id} for task_id in report.invalid_ids],
            "denied": [{"taskId": task_id} for task_id in report.denied_ids],
        },
        "tasksTag": _describe_tasks(report.by_tag),
        "tasksTagDenied": [{"tag": tag} for tag in report.denied_tags],
        "tasksCP": _describe_tasks(report.by_property),
        "tasksCPDenied": [{"name": name, "value": value} for name, value in report.denied_properties],
        **({"tasksFailed": failed} if failed else {}),
    }


def describe_stops(report: StopReport) -> dict[str, Any]:
    """Return the report in words like those for starts, which Butler has none of."""
    return {
        "tasksId": {
            "stopped": _describe_tasks(report.stopped),
            "notRunning": _describe_tasks(report.idle),
            "invalid": [{"taskId": task_id} for task_id in report.invalid_ids],
            "denied": [{"taskId": task_id} for task_id in report.denied_ids],
        }
    }


def describe_tasks(tasks: Iterable[QlikTask], *, read_at: datetime | None) -> dict[str, Any]:
    """Return what is known of tasks, with the moment when Qlik Sense told of them; None where it never has."""
    return {"readAt": _instant(read_at), "tasks": [_describe_known(task) for task in tasks]}


def describe_warnings(schedules: Iterable[Schedule], warnings: Mapping[int, str]) -> list[dict[str, str]]:
    """Return the schedules of which there is a warning, by their keys, each with it."""
    return [
        {"id": schedule.name, "name": schedule.title, "taskId": schedule.qlik_task_id, "warning": warnings[schedule.pk]}
        for schedule in schedules
        if schedule.pk in warnings
    ]


def _describe_known(task: QlikTask) -> dict[str, Any]:
    return {
        "taskId": task.pk,
        "taskName": task.name,
        "appId": task.app_id,
        "appName": task.app_name,
        "enabled": task.is_enabled,
        "tags": task.tags,
        "customProperties": [{"name": name, "value": value} for name, value in task.custom_properties],
        "maxRetries": task.max_retries,
        "lastStatus": None if task.last_status is None else ExecutionStatus(task.last_status).title,
        "lastEndedAt": _instant(task.last_ended_at),
        **({"goneAt": _instant(task.gone_at)} if task.gone_at else {}),
        **({"previousName": task.previous_name} if task.previous_name else {}),
    }


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)


def _read_flag(query: QueryDict, name: str) -> bool:
    given = query.getlist(name)
    if not given or given == ["false"]:
        return False
    if given == ["true"]:
        return True
    raise ParseError(f"{name}: {', '.join(given)[:60]!r} is not possible. Give true or false once, or leave it out.")


def _list_items(body: object) -> Iterable[object]:
    # The framework puts an object without keys where there is no body
    if body == {}:
        return []
    if not isinstance(body, list):
        raise ParseError(f"{shown(body)} is not a JSON array. Send one, such as [], with an item for each start.")
    return body


def _read_item(item: object) -> tuple[str, tuple[str, ...]]:
    """Return the kind of an item and its values; raises ValidationError with places below the item."""
    if not isinstance(item, Mapping):
        raise ValidationError({"": [f"{shown(item)} is not a JSON object. Send one with type and payload."]})
    kind, payload = item.get("type"), item.get("payload")
    if kind == "keyvaluestore":
        raise ValidationError({".type": [_NO_STORE]})
    if not isinstance(kind, str) or kind not in _KEYS:
        raise ValidationError({".type": [f"{shown(kind)} is not one of {_KINDS}. Give one of them."]})
    if not isinstance(payload, Mapping):
        wanted = ", ".join(_KEYS[kind])
        raise ValidationError({".payload": [f"{shown(payload)} is not a JSON object. Send one with {wanted}."]})
    problems = {f".payload.{key}": [why] for key in _KEYS[kind] if (why := _flaw(payload.get(key)))}
    if problems:
        raise ValidationError(problems)
    return kind, tuple(payload[key] for key in _KEYS[kind])


def _flaw(value: object) -> str:
    """Return why a value cannot name anything; empty when it can."""
    if value is None:
        return "This field is missing. Add it, as a text."
    if not isinstance(value, str):
        return f"{shown(value)} is not a text. Put it in quotes."
    rules: list[tuple[Callable[[str], bool], str]] = [
        (lambda text: not text, "The text is empty. Give at least one character."),
        (lambda text: len(text) > LONGEST_TEXT, f"The text has more than {LONGEST_TEXT} characters. Shorten it."),
        (lambda text: not text.isprintable(), f"{shown(value)} has a character that cannot be printed. Leave it out."),
    ]
    return next((why for is_broken, why in rules if is_broken(value)), "")


def _describe_tasks(tasks: Iterable[NamedTask]) -> list[dict[str, str]]:
    return [_describe_task(task) for task in tasks]


def _describe_task(task: NamedTask) -> dict[str, str]:
    return {"taskId": task.id, "taskName": task.name}
