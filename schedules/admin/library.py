"""django-celery-beat's own pages, for the periodic tasks that are no schedules.

A schedule is a row of the library's tables, too. Whatever these pages did to that row would pass by the rules and
the record of changes, and deleting a crontab row deletes every task that uses it. So schedules do not occur here,
and a row that a schedule uses is shown but can neither be changed nor deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django_celery_beat import admin as library
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from schedules.admin import cells
from schedules.admin.addresses import AddressedAdmin
from schedules.models import Schedule
from schedules.redis_names import use_names

_SCHEDULES_NAMED = 20


class TaskSelect(UnfoldAdminSelectWidget, library.TaskSelectWidget):
    """The library's choice of the tasks that Celery knows, dressed by unfold."""


class PeriodicTaskForm(library.PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Someone who may only look gets a form without fields
        if "regtask" in self.fields:
            self.fields["regtask"].widget = TaskSelect()
            self.fields["task"].widget = UnfoldAdminTextInputWidget()

    def clean_regtask(self) -> str:
        """Refuse what the field beside it refuses: it becomes the task unseen."""
        task: str = self.fields["task"].clean(self.cleaned_data["regtask"])
        return task

    def clean(self) -> Any:
        """Leave out the library's checks where the task is refused already: they look for it and fail."""
        return super().clean() if "task" in self.cleaned_data else self.cleaned_data

    def _clean_json(self, field: str) -> Any:
        try:
            return super()._clean_json(field)
        except RecursionError as error:
            raise ValidationError("This is nested too deeply. Give a JSON list or object of few levels.") from error


class LibraryTaskInline(library.PeriodicTaskInline, TabularInline):
    """The periodic tasks that use a row, to be read."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Leave schedules out."""
        return _without_schedules(super().get_queryset(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep the periodic tasks' own page the only place that changes them."""
        return False


class TimesAdmin(AddressedAdmin):
    """Crontabs and the other kinds of times. Those that a schedule uses are read-only."""

    inlines = [LibraryTaskInline]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what a schedule uses: its crontab follows from its own expression."""
        return super().has_change_permission(request, obj) and not _schedules_with(obj).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what a schedule uses: the schedule would be deleted with it."""
        return super().has_delete_permission(request, obj) and not _schedules_with(obj).exists()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Add the schedules that use an existing row."""
        return (*super().get_readonly_fields(request, obj), *(["used_by"] if obj else []))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Show the schedules that use an existing row after its values."""
        fields = [field for field in super().get_fields(request, obj) if field != "used_by"]
        return [*fields, "used_by"] if obj else fields

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Name the schedules that stand in the way instead of a permission that is lacking."""
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return to_delete, counts, lacking - ({self.opts.verbose_name} if protected else set()), protected

    @admin.display(description="used by schedules")
    def used_by(self, obj: Any) -> SafeString | str:
        """Return links to the schedules that use the row, or that none does."""
        schedules = list(_schedules_with(obj)[: _SCHEDULES_NAMED + 1])
        links: list[tuple[str]] = [
            (cells.link(reverse("admin:schedules_schedule_change", args=[schedule.pk]), schedule.title),)
            for schedule in schedules[:_SCHEDULES_NAMED]
        ]
        if len(schedules) > _SCHEDULES_NAMED:
            links.append(("and others",))
        return format_html_join(", ", "{}", links) or "none"


class PeriodicTaskAdmin(library.PeriodicTaskAdmin, AddressedAdmin):
    form = PeriodicTaskForm
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Leave schedules out, of the list and of every page and action."""
        return _without_schedules(super().get_queryset(request))

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Send their messages to the queue of this installation: no worker listens to Celery's own."""
        use_names(self.celery_app)
        super().run_tasks(request, queryset)


class ClockedScheduleAdmin(TimesAdmin, library.ClockedScheduleAdmin):
    pass


class CrontabScheduleAdmin(TimesAdmin, library.CrontabScheduleAdmin):
    @admin.display(description="in words")
    def human_readable(self, crontab: CrontabSchedule) -> str:
        """Return the times in words; none for values that mean no times, such as those that a form has just refused."""
        try:
            return str(crontab.human_readable)
        except Exception:  # Celery has errors of its own for texts that are no times
            return ""


class IntervalScheduleAdmin(TimesAdmin, library.IntervalScheduleAdmin):
    pass


class SolarScheduleAdmin(TimesAdmin, library.SolarScheduleAdmin):
    pass


def _read_zone(value: str, *_: object) -> Any:
    """Return the zone of a crontab row; for one that the database of zones does not have (any more) a stand-in.

    The library's own reading fails for the whole list. The stand-in has the name, and no clock: these pages show and
    compute nothing by it, and to save it is refused because it is not among the choices.
    """
    field = CrontabSchedule._meta.get_field("timezone")
    try:
        return field.to_python(value)
    except (ValidationError, ValueError, OSError):
        with resources.files("tzdata.zoneinfo").joinpath("Etc", "UTC").open("rb") as clock:
            return ZoneInfo.from_file(clock, key=value)


# The column has no hook for this. Only processes with pages load it: beat sets such a row aside.
CrontabSchedule._meta.get_field("timezone").from_db_value = _read_zone


def _without_schedules(tasks: QuerySet[PeriodicTask]) -> QuerySet[PeriodicTask]:
    return tasks.filter(qlik_schedule__isnull=True)


def _schedules_with(times: Any) -> QuerySet[Schedule]:
    """Return the schedules whose row in the library's table uses these times; none for no times."""
    tasks = times.periodictask_set.all() if times else PeriodicTask.objects.none()
    schedules: QuerySet[Schedule] = Schedule.objects.filter(pk__in=tasks.values("pk"))
    return schedules


for _model, _admin in (
    (PeriodicTask, PeriodicTaskAdmin),
    (CrontabSchedule, CrontabScheduleAdmin),
    (IntervalSchedule, IntervalScheduleAdmin),
    (ClockedSchedule, ClockedScheduleAdmin),
    (SolarSchedule, SolarScheduleAdmin),
):
    admin.site.unregister(_model)
    admin.site.register(_model, _admin)
