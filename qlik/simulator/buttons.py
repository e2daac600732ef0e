"""What the buttons of the page do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qlik.simulator.faults import Fault, FaultPlan
from qlik.simulator.listener import ListenError
from qlik.simulator.outages import Keeps, Mains, Outage
from qlik.simulator.tasks import Site, UnknownTaskError
from qlik.simulator.values import ControlError, make_value, read_id

Form = Mapping[str, str]
# By the word in the form: what a person calls it, and what it makes of a fault
Choices = Mapping[str, tuple[str, Mapping[str, Any]]]

FAULTS: Choices = {
    "slow": ("answer 2 s late", {"kind": "delay", "delay_ms": 2_000}),
    "very-slow": ("answer 10 s late", {"kind": "delay", "delay_ms": 10_000}),
    "hang": ("hang for 2 minutes", {"kind": "hang", "delay_ms": 120_000}),
    "reset-after": ("reset after it took effect", {"kind": "reset"}),
    "reset-before": ("reset before it took effect", {"kind": "reset", "takes_effect": False}),
    "503": ("answer 503", {"kind": "refuse", "status": 503}),
    "500": ("answer 500", {"kind": "refuse", "status": 500}),
    "500-after": ("answer 500 after it took effect", {"kind": "refuse", "status": 500, "takes_effect": True}),
    "502": ("answer 502", {"kind": "refuse", "status": 502}),
    "504-after": ("answer 504 after it took effect", {"kind": "refuse", "status": 504, "takes_effect": True}),
    "403": ("answer 403", {"kind": "refuse", "status": 403}),
    "html": ("answer with a page for people", {"kind": "html"}),
    "truncated": ("truncate the JSON", {"kind": "truncated"}),
    "cut": ("cut the answer short", {"kind": "cut"}),
    "zero": ("do not begin: session of zeros", {"kind": "zero"}),
    "delete": ("delete the task just before", {"kind": "delete"}),
    "disable": ("disable the task just before", {"kind": "disable"}),
}
AMOUNTS: Choices = {
    "all": ("every call", {}),
    "once": ("the next call", {"count": 1}),
    "three": ("the next three calls", {"count": 3}),
    "third": ("a third of the calls", {"rate": 0.333}),
}
TIMES: Choices = {
    "ever": ("until cleared", {}),
    "minute": ("for a minute", {"lasts_seconds": 60}),
    "ten": ("for ten minutes", {"lasts_seconds": 600}),
}
SLOW, OVERLOADED = "slow", "503"


class Buttons:
    """The buttons; each is a form with the word of what it does as `do`."""

    def __init__(self, *, site: Site, faults: FaultPlan, mains: Mains) -> None:
        self._site = site
        self._faults = faults
        self._mains = mains

    def press(self, form: Form) -> None:
        """Do what the form says. Raises ControlError."""
        action = ACTIONS.get(form.get("do", ""))
        if not action:
            raise ControlError(f"There are: {', '.join(ACTIONS)}.")
        try:
            action(self, form)
        except UnknownTaskError as error:
            raise ControlError("There is no such task any more.") from error
        except ListenError as error:
            raise ControlError(str(error)) from error

    def start(self, form: Form) -> None:
        """Start a task, as somebody in the QMC does."""
        self._site.start([read_id(form.get("task_id", ""))])

    def stop(self, form: Form) -> None:
        """Stop a task."""
        self._site.stop(read_id(form.get("task_id", "")))

    def enable(self, form: Form) -> None:
        """Let a task be started."""
        self._site.change_task(read_id(form.get("task_id", "")), enabled=True)

    def disable(self, form: Form) -> None:
        """Let a task be started no more."""
        self._site.change_task(read_id(form.get("task_id", "")), enabled=False)

    def take_down(self, form: Form) -> None:
        """Let QRS be down: for `seconds`, or until it is brought up; `keeps` as for an outage."""
        self._mains.begin(make_value(Outage, {name: form[name] for name in ("seconds", "keeps") if form.get(name)}))

    def bring_up(self, form: Form) -> None:
        """Let QRS answer again."""
        self._mains.end()

    def set_fault(self, form: Form) -> None:
        """Set a fault put together from choices."""
        values: dict[str, Any] = {"task_id": form.get("task_id") or None}
        for name, choices in (("fault", FAULTS), ("amount", AMOUNTS), ("time", TIMES)):
            word = form.get(name) or next(iter(choices))
            if word not in choices:
                raise ControlError(f"{name}={word!r} is none of {', '.join(choices)}.")
            values |= choices[word][1]
        self._faults.add(make_value(Fault, values))

    def clear_faults(self, form: Form) -> None:
        """Let everything go right again."""
        self._faults.clear()


ACTIONS: Mapping[str, Callable[[Buttons, Form], None]] = {
    "start": Buttons.start,
    "stop": Buttons.stop,
    "enable": Buttons.enable,
    "disable": Buttons.disable,
    "down": Buttons.take_down,
    "up": Buttons.bring_up,
    "fault": Buttons.set_fault,
    "clear": Buttons.clear_faults,
}
RESTART = {"do": "down", "seconds": "5", "keeps": Keeps.RESULTS.value}
RESET = {"do": "down", "seconds": "5", "keeps": Keeps.NOTHING.value}
