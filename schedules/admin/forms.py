"""The form of a schedule. What is valid is the model's to say, as it is for the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from schedules.admin.kept_texts import KeptTextsForm
from schedules.admin.qlik_tasks import describe_task, read_properties, read_tags
from schedules.models import Schedule
from schedules.policies import Misfire, Overlap
from schedules.validators import NO_TASK_ID, list_time_zones, validate_dates

if TYPE_CHECKING:
    ScheduleModelForm = forms.ModelForm[Schedule]
else:
    ScheduleModelForm = forms.ModelForm

StartupState = Schedule.StartupState

#: The fields of what limits a schedule
TARGET = ("target_tag", "target_property")
LIMITS = ("starts_at", "ends_at", "max_runs", "jitter", "excluded_dates")

_CRON_HELP = (
    "Minute, hour, day of month, month, day of week; a sixth field in front of them counts seconds. "
    "<code>0 6 * * 1-5</code> is 06:00 from Monday to Friday, <code>*/15 * * * *</code> every 15 minutes, "
    "<code>0 7 L * *</code> 07:00 on the last day of the month, <code>*/30 * * * * *</code> every 30 seconds."
)

#: htmx, which unfold brings along, asks for the preview again while people type
_PREVIEWS: dict[str, Any] = {
    "hx-get": reverse_lazy("admin:schedules_schedule_preview"),
    "hx-include": "#id_cron_schedule, #id_timezone, #id_jitter, #id_excluded_dates, "
    "[name^='starts_at'], [name^='ends_at']",
    "hx-target": "#schedule-preview",
    "hx-trigger": "input changed delay:300ms",
    "autocomplete": "off",
    "spellcheck": "false",
}


#: It also asks which tasks fit what is typed
_CHOICES: dict[str, Any] = {
    "hx-get": reverse_lazy("admin:schedules_schedule_tasks"),
    "hx-target": "#qlik-tasks",
    "hx-trigger": "input changed delay:200ms, focus once",
    "autocomplete": "off",
    "spellcheck": "false",
}


class TimeZoneInput(UnfoldAdminTextInputWidget):
    """A text input that proposes the names of all time zones while one types."""

    template_name = "schedules/time_zone_input.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add the names to what the template gets."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return context | {"time_zones": _time_zone_names()}


class TaskInput(UnfoldAdminTextInputWidget):
    """A text input that proposes tasks by their names and apps, and takes any GUID."""

    template_name = "schedules/task_input.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add the name of the chosen task to what the template gets."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return context | {"note": describe_task(str(value or ""))}


class TargetInput(UnfoldAdminTextInputWidget):
    """A text input that proposes what tasks have in Qlik Sense."""

    template_name = "schedules/target_input.html"

    def __init__(self, read: Callable[[], Sequence[str]], attrs: dict[str, Any]) -> None:
        super().__init__({**attrs, "autocomplete": "off", "spellcheck": "false"})
        self._read = read

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add the proposals to what the template gets."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return context | {"list": self.attrs["list"], "proposals": self._read()}


class LinesField(forms.CharField):
    """A list of texts as people write it: one on each line."""

    def prepare_value(self, value: Any) -> Any:
        """Return the texts as lines; what a person typed, or what is no list of texts, as it is."""
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
            return "\n".join(value)
        return json.dumps(value, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        """Return the lines that are not empty."""
        return [line.strip() for line in str(value or "").split("\n") if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether the text differs from the one that was shown for `initial`."""
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


class ScheduleForm(KeptTextsForm, ScheduleModelForm):
    tags = LinesField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="One on each line.",
    )
    startup_state = forms.ChoiceField(label="State", widget=UnfoldAdminSelectWidget)
    misfire = forms.ChoiceField(
        label="After missed starts",
        choices=[
            (Misfire.ONCE.value, "Start the task once"),
            (Misfire.ALL.value, "Start the task once for each of them"),
            (Misfire.SKIP.value, "Wait for the next time"),
        ],
        widget=UnfoldAdminSelectWidget,
        help_text="What to do when the service was down, or Qlik Sense out of reach, at the time of a start.",
    )

    overlap = forms.ChoiceField(
        label="While the task still runs",
        choices=[
            (Overlap.ALLOW.value, "Start it all the same"),
            (Overlap.SKIP.value, "Skip the start"),
            (Overlap.QUEUE.value, "Let one start wait for its end"),
        ],
        widget=UnfoldAdminSelectWidget,
        help_text="Whoever started it: a schedule, or somebody in the Qlik Management Console.",
    )
    jitter = forms.DurationField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Hours, minutes and seconds, up to a day. Each start is put off by a part of this that is the same "
        "every time, so that schedules of the same minute spread out.",
    )
    excluded_dates = LinesField(
        label="Days without starts",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, "placeholder": "2026-12-24\n2026-12-31/2027-01-01"}),
        help_text="By the calendar of the schedule’s time zone. One on each line: 2026-12-24, or "
        "2026-12-31/2027-01-01 for all from one to another.",
    )

    class Meta:
        model = Schedule
        fields = (
            "title",
            "qlik_task_id",
            *TARGET,
            "tags",
            "cron_schedule",
            "timezone",
            "startup_state",
            "misfire",
            "misfire_grace",
            "starts_at",
            "ends_at",
            "max_runs",
            "jitter",
            "excluded_dates",
            "overlap",
            "retry_deadline",
            "max_attempts",
        )
        labels = {
            "qlik_task_id": "Qlik task",
            "target_tag": "All with the tag",
            "target_property": "All with the custom property",
            "misfire_grace": "Missed means later than",
            "retry_deadline": "Try again for",
            "max_attempts": "Attempts at most",
            "starts_at": "Not before (UTC)",
            "ends_at": "Not after (UTC)",
        }
        help_texts = {
            "qlik_task_id": "Type a part of the task’s name or app and choose it, or paste its id, such as "
            "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b; the Qlik Management Console shows it under Tasks, in the column ID.",
            "target_tag": "Each time, all enabled tasks are started that have this tag in Qlik Sense, beside the task "
            "above; leave that empty to start these alone. Which they are is read every five minutes.",
            "target_property": "Or this custom property with its value, as Name=Value: Department=Finance.",
            "cron_schedule": _CRON_HELP,
            "timezone": "The clock that the expression means. Type a part of the name, such as Stock or UTC.",
            "misfire_grace": "Hours, minutes and seconds, such as 00:01:00.",
            "retry_deadline": "While Qlik Sense cannot be reached: hours, minutes and seconds from the first try.",
            "starts_at": "The first moment at which a start may be due, by UTC.",
            "ends_at": "The last one.",
            "max_runs": "After so many there are no more. Counted from when you set it.",
        }
        widgets = {
            "qlik_task_id": TaskInput({**_CHOICES, "list": "qlik-tasks", "class": "cell-code"}),
            "target_tag": TargetInput(read_tags, {"list": "qlik-tags"}),
            "target_property": TargetInput(read_properties, {"list": "qlik-properties"}),
            "cron_schedule": UnfoldAdminTextInputWidget({**_PREVIEWS, "class": "cell-code"}),
            "timezone": TimeZoneInput({**_PREVIEWS, "list": "time-zones"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Someone who may only look gets a form without the model's fields
        if "qlik_task_id" in self.fields:
            self._prepare_startup_state()
            self.fields["qlik_task_id"].required = False
            if self.initial.get("qlik_task_id") == NO_TASK_ID:
                self.initial["qlik_task_id"] = ""
            if self.instance.max_runs is not None:
                self.fields["max_runs"].help_text += f" So far: {self.instance.runs_planned:,}."

    def clean_qlik_task_id(self) -> str:
        """Take nothing for no task; the model says whether a tag or a property has to stand in."""
        return self.cleaned_data["qlik_task_id"] or NO_TASK_ID

    def clean_tags(self) -> Any:
        """Leave tags that nobody touched as they are, even where lines cannot express them."""
        return self._leave_untouched("tags")

    def clean_jitter(self) -> timedelta:
        """Take nothing for none."""
        return self.cleaned_data["jitter"] or timedelta(0)

    def clean_excluded_dates(self) -> Any:
        """Leave days that nobody touched as they are."""
        return self._leave_untouched("excluded_dates")

    def clean_starts_at(self) -> Any:
        """Leave a moment that nobody touched as it is: the form shows no fractions of a second."""
        return self._leave_untouched("starts_at")

    def clean_ends_at(self) -> Any:
        """Do as for the first moment."""
        return self._leave_untouched("ends_at")

    def _leave_untouched(self, name: str) -> Any:
        return self.cleaned_data[name] if name in self.changed_data else getattr(self.instance, name)

    def _prepare_startup_state(self) -> None:
        """Offer two states; a schedule that has the other word for one of them keeps it."""
        field = cast("forms.ChoiceField", self.fields["startup_state"])
        started, stopped = StartupState.STARTED.value, StartupState.STOPPED.value
        if self.instance.startup_state == StartupState.START:
            started = StartupState.START.value
        if self.instance.startup_state == StartupState.STOP:
            stopped = StartupState.STOP.value
        field.choices = [(started, "Started"), (stopped, "Stopped")]
        if self.instance.pk:
            field.label = "State after a restart"
            field.help_text = (
                "Counts only where the setting BUTLER_START_STATE is startup; otherwise a schedule stays as it was. "
                "To start or stop it now, use the buttons above."
            )


def has_limits(schedule: Schedule) -> bool:
    """Return whether anything limits the schedule."""
    return any(getattr(schedule, name) not in (None, [], timedelta(0)) for name in LIMITS)


def read_limits(schedule: Schedule) -> dict[str, Any]:
    """Return what limits the schedule; nothing for limits that a hand has broken, which the page tells elsewhere."""
    limits = {name: getattr(schedule, name) for name in LIMITS}
    try:
        validate_dates(limits["excluded_dates"])
    except ValidationError:
        limits["excluded_dates"] = []
    return limits


def clean_limits(form: ScheduleForm) -> dict[str, Any]:
    """Return the limits that are being typed; one that is not in order yet is left out."""
    form.full_clean()
    limits = {name: form.cleaned_data.get(name) for name in LIMITS}
    broken = form.errors.keys() & {*LIMITS}
    return {name: None if name in broken else value for name, value in limits.items()}


@cache
def _time_zone_names() -> tuple[str, ...]:
    return tuple(sorted(list_time_zones()))
