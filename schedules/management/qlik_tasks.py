"""`manage.py schedules tasks`: the tasks that Qlik Sense has."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from qlik.errors import QrsError
from schedules.known_tasks import NoTasksError, last_read_at, refresh_tasks
from schedules.management.terminal import cut, refusal, wrap
from schedules.models import QlikTask


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("tasks", help="show the tasks that Qlik Sense has, as they were last told")
    parser.add_argument("--refresh", action="store_true", help="ask Qlik Sense first")


def run(command: BaseCommand, *, refresh: bool, **_: Any) -> None:
    """Print what is known, after a look at QRS where that is asked for."""
    if refresh:
        try:
            found = refresh_tasks()
        except (QrsError, NoTasksError) as error:
            raise refusal(f"{error} {describe_age()}") from error
        command.stdout.write(
            f"{found.total:,} tasks: {found.new:,} new, {found.changed:,} changed, {found.gone:,} gone."
        )
    for task in QlikTask.objects.all():
        command.stdout.write("\n".join(_lines_of(task)))
    if not refresh:
        command.stdout.write(wrap(describe_age()))


def describe_age() -> str:
    """Return a sentence that says how old what is known is."""
    read_at = last_read_at()
    if read_at is None:
        return "Qlik Sense has not told of any task yet; --refresh asks it now."
    minutes = (timezone.now() - read_at).total_seconds() / 60
    age = f"{minutes:,.0f} min ago" if minutes >= 1 else "just now"
    return f"As Qlik Sense told {age}, at {read_at:%Y-%m-%d %H:%M:%S} UTC; --refresh asks it again."


def _lines_of(task: QlikTask) -> list[str]:
    state = "gone" if task.gone_at else "enabled" if task.is_enabled else "disabled"
    app = f" (app {task.app_name})" if task.app_name else ""
    properties = [f"{name}={value}" for name, value in task.custom_properties]
    marks = ", ".join([*task.tags, *properties])
    lines = [f"{state:8}  {task.pk}", cut(f"{'':10}{task.name}{app}")]
    return [*lines, wrap(f"{'':10}{marks}", indent=10)] if marks else lines
