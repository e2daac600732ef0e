"""What the buttons and the actions do to schedules, and what people are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from schedules import services
from schedules.asking import ONE_REQUEST_WITHIN
from schedules.changes import Origin
from schedules.maintenance import MaintenanceError
from schedules.models import Schedule, ScheduleChange
from schedules.stopping import stop_reloads
from schedules.task_lookup import CallFailedError

GONE = "A schedule was deleted in the meantime; load the list again."


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the services, with the words for what it has done.

    `is_needless` tells whether it has nothing to do for a schedule; None where it always has, or where only the service
    finds out, which then returns those that it has done something for (`finds_out`).
    """

    service: Callable[..., Sequence[object]]
    done: str
    already: str = ""
    is_needless: Callable[[Schedule], bool] | None = None
    finds_out: bool = False

    def perform_on(self, schedules: Iterable[Schedule], *, request: HttpRequest, **values: object) -> None:
        """Do it to all of the schedules, or to none where it is refused, and leave a message with counts."""
        chosen = list(schedules)
        try:
            done = self.service([schedule.name for schedule in chosen], **values, origin=origin_of(request))
        except (services.UnknownScheduleError, MaintenanceError, ValidationError) as error:
            messages.error(request, f"Nothing was done. {_reason_of(error)}")
            return
        except CallFailedError as error:
            messages.error(request, str(error))
            return
        needless = sum(map(self.is_needless, chosen)) if self.is_needless else 0
        needless += len(chosen) - len(done) if self.finds_out else 0
        self._tell(request, done=len(chosen) - needless, needless=needless)

    def _tell(self, request: HttpRequest, *, done: int, needless: int) -> None:
        sentences = [f"{_count(done)} {self.done}."] if done else []
        if needless:
            sentences.append(f"{_count(needless)} {'was' if needless == 1 else 'were'} {self.already}.")
        messages.add_message(request, messages.SUCCESS if done else messages.INFO, " ".join(sentences))


def _run_now(public_ids: Iterable[str], *, origin: Origin) -> Sequence[int | None]:
    """Run schedules now, and return the keys of those that nobody has run a moment ago."""
    asked = services.run_now(public_ids, origin=origin, within=ONE_REQUEST_WITHIN)
    return list(dict.fromkeys(run.schedule_id for run in asked if not run.was_there))


OPERATIONS = {
    "start": Operation(services.start_schedules, "started", "started already", lambda schedule: schedule.enabled),
    "stop": Operation(services.stop_schedules, "stopped", "stopped already", lambda schedule: not schedule.enabled),
    "run": Operation(
        _run_now,
        "told to run now; what comes of it appears under Runs",
        f"told to run less than {ONE_REQUEST_WITHIN.seconds} s ago; a second run is made only when the first is over",
        finds_out=True,
    ),
    "stop_reload": Operation(
        stop_reloads, "told to stop the reload, which takes Qlik Sense a while", "not reloading", finds_out=True
    ),
    "resume": Operation(
        services.resume_schedules, "resumed", "not paused", lambda schedule: not schedule.is_paused(at=timezone.now())
    ),
}
#: It needs to know more than which schedules, hence a page of its own
PAUSE = Operation(services.pause_schedules, "paused")


def origin_of(request: HttpRequest) -> Origin:
    """Return who is behind a request to the admin."""
    return Origin(source=ScheduleChange.Source.ADMIN, actor=request.user.get_username())


def _reason_of(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return GONE if isinstance(error, services.UnknownScheduleError) else str(error)


def _count(number: int) -> str:
    return "1 schedule" if number == 1 else f"{number:,} schedules"
