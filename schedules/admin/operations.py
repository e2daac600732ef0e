"""What the buttons and the actions do to schedules, and what people are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest

from schedules import services
from schedules.changes import Origin
from schedules.models import Schedule, ScheduleChange

GONE = "A schedule was deleted in the meantime; load the list again."


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the services, with the words for what it has done.

    `needless_when` is the state, started or not, in which it has nothing to do; None where there is no such state.
    """

    service: Callable[..., Sequence[object]]
    done: str
    already: str = ""
    needless_when: bool | None = None

    def perform_on(self, schedules: Iterable[Schedule], *, request: HttpRequest) -> None:
        """Do it to all of the schedules, or to none where one is gone, and leave a message with counts."""
        chosen = list(schedules)
        try:
            self.service([schedule.name for schedule in chosen], origin=origin_of(request))
        except services.UnknownScheduleError:
            messages.error(request, f"Nothing was done. {GONE}")
            return
        needless = sum(schedule.enabled is self.needless_when for schedule in chosen)
        self._tell(request, done=len(chosen) - needless, needless=needless)

    def _tell(self, request: HttpRequest, *, done: int, needless: int) -> None:
        sentences = [f"{_count(done)} {self.done}."] if done else []
        if needless:
            sentences.append(f"{_count(needless)} {'was' if needless == 1 else 'were'} {self.already}.")
        messages.add_message(request, messages.SUCCESS if done else messages.INFO, " ".join(sentences))


OPERATIONS = {
    "start": Operation(services.start_schedules, "started", "started already", needless_when=True),
    "stop": Operation(services.stop_schedules, "stopped", "stopped already", needless_when=False),
    "run": Operation(services.run_now, "told to run now; what comes of it appears under Runs"),
}


def origin_of(request: HttpRequest) -> Origin:
    """Return who is behind a request to the admin."""
    return Origin(source=ScheduleChange.Source.ADMIN, actor=request.user.get_username())


def _count(number: int) -> str:
    return "1 schedule" if number == 1 else f"{number:,} schedules"
