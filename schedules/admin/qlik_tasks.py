"""The tasks of Qlik Sense, to be read: a list to search and filter, and the choice of one in the form of a schedule."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from qlik.errors import QrsError
from qlik.execution import ExecutionStatus
from schedules.admin import cells
from schedules.admin.addresses import AddressedAdmin
from schedules.admin.filters import HasText
from schedules.admin.moments import format_distance, format_utc
from schedules.known_tasks import NoTasksError, find_task, last_read_at, refresh_tasks
from schedules.models import QlikTask, Schedule
from schedules.targets import TaskIndex

#: Of the tasks that fit what is typed so many are proposed
CHOICES_SHOWN = 50
_SCHEDULES_NAMED = 20


def read_tags() -> list[str]:
    """Return the tags that tasks have, in alphabetical order."""
    lists = QlikTask.objects.exclude(tags=[]).order_by().values_list("tags", flat=True)
    return sorted({tag for tags in lists for tag in tags}, key=str.casefold)


def read_properties() -> list[str]:
    """Return the custom properties that tasks have, as Name=Value, in alphabetical order."""
    lists = QlikTask.objects.exclude(custom_properties=[]).order_by().values_list("custom_properties", flat=True)
    return sorted({f"{name}={value}" for pairs in lists for name, value in pairs}, key=str.casefold)


class TaskStateFilter(admin.SimpleListFilter):
    """Enabled, disabled or gone."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [("enabled", "Enabled"), ("disabled", "Disabled"), ("gone", "Not in Qlik Sense any more")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[QlikTask]) -> QuerySet[QlikTask]:
        """Keep the tasks in the chosen state."""
        if self.value() == "gone":
            return queryset.filter(gone_at__isnull=False)
        if self.value() in ("enabled", "disabled"):
            return queryset.filter(gone_at=None, is_enabled=self.value() == "enabled")
        return queryset


class TaskTagFilter(admin.SimpleListFilter):
    """One of the tags that tasks have in Qlik Sense."""

    title = "tag in Qlik Sense"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tags of all tasks in alphabetical order."""
        return [(tag, tag) for tag in read_tags()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[QlikTask]) -> QuerySet[QlikTask]:
        """Keep the tasks with the chosen tag."""
        tag = self.value()
        return queryset.filter(HasText("tags", Value(tag))) if tag is not None else queryset


@admin.register(QlikTask)
class QlikTaskAdmin(AddressedAdmin):
    """Nobody edits tasks here; the Qlik Management Console is the place."""

    list_display = ("listed_name", "state", "listed_tags", "last_reload", "listed_id")
    list_filter = (TaskStateFilter, TaskTagFilter)
    search_fields = ("name", "app_name", "id")
    search_help_text = "Name, app or id"
    ordering = ("name", "pk")
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    actions = None
    list_before_template = "schedules/qlik_tasks_panel.html"
    fieldsets = (
        (None, {"fields": ["name", "state", "app_name", "listed_tags", "listed_id", "used_by"]}),
        ("In Qlik Sense", {"fields": ["last_reload", "max_retries", "previous_name", "seen", "gone"]}),
    )
    empty_list_title = "No tasks yet"
    empty_list_text = "Qlik Sense is asked for its reload tasks every five minutes, and when you press “Read again”."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a task here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: QlikTask | None = None) -> bool:
        """Nobody changes a task here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: QlikTask | None = None) -> bool:
        """Nobody deletes a task here."""
        return False

    @admin.display(description="name", ordering="name")
    def listed_name(self, task: QlikTask) -> SafeString:
        """Return the name, with the app beneath where it has another one."""
        app = f"app {task.app_name}" if task.app_name and task.app_name != task.name else ""
        former = f"formerly {task.previous_name}" if task.previous_name else ""
        return cells.stack(task.name, app, former)

    @admin.display(description="state", ordering="is_enabled")
    def state(self, task: QlikTask) -> SafeString:
        """Return the label for enabled, disabled or gone."""
        if task.gone_at is not None:
            return cells.label("gone", "danger")
        return cells.label("enabled", "success") if task.is_enabled else cells.label("disabled", "warning")

    @admin.display(description="tags")
    def listed_tags(self, task: QlikTask) -> SafeString:
        """Return tags and properties as labels."""
        labels = cells.labels([*task.tags, *(f"{name}={value}" for name, value in task.custom_properties)])
        return format_html('<span class="cell-tags">{}</span>', labels)

    @admin.display(description="last reload", ordering="last_ended_at", empty_value="–")
    def last_reload(self, task: QlikTask) -> SafeString | None:
        """Return how the last reload went, and when it ended, whoever started it."""
        if task.last_status is None:
            return None
        status = ExecutionStatus(task.last_status)
        colour = "success" if status.is_success else "danger" if status.is_bad_end else "info"
        label, ended = cells.label(status.title, colour), task.last_ended_at
        if ended is None:
            return cells.stack(label)
        return cells.stack(label, cells.with_title(format_distance(ended, now=timezone.now()), format_utc(ended)))

    @admin.display(description="id", ordering="pk")
    def listed_id(self, task: QlikTask) -> SafeString:
        """Return the id as it is copied."""
        return cells.code(task.pk)

    @admin.display(description="last seen")
    def seen(self, task: QlikTask) -> str:
        """Return when Qlik Sense last told of the task."""
        return format_utc(task.seen_at)

    @admin.display(description="missed since", empty_value="–")
    def gone(self, task: QlikTask) -> str | None:
        """Return since when Qlik Sense does not tell of it."""
        return format_utc(task.gone_at) if task.gone_at else None

    @admin.display(description="started by schedules")
    def used_by(self, task: QlikTask) -> SafeString | str:
        """Return links to the schedules that start the task, or that none does."""
        own = Schedule.objects.annotate(task_id=Lower("qlik_task_id")).filter(task_id=task.pk)
        aiming = Schedule.objects.exclude(target_tag="", target_property="")
        index = TaskIndex([task])
        found = {*own[: _SCHEDULES_NAMED + 1], *(found for found in aiming if task.pk in index.resolve(found))}
        schedules = sorted(found, key=lambda schedule: str(schedule.title))
        links: list[tuple[str]] = [
            (cells.link(reverse("admin:schedules_schedule_change", args=[schedule.pk]), schedule.title),)
            for schedule in schedules[:_SCHEDULES_NAMED]
        ]
        if len(schedules) > _SCHEDULES_NAMED:
            links.append(("and others",))
        return format_html_join(", ", "{}", links) or "none"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Add how old the list is."""
        return super().changelist_view(request, (extra_context or {}) | {"age": _describe_age()})

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button, which takes POST only."""
        read = self.admin_site.admin_view(require_POST(self.read_view))
        return [path("read/", read, name="schedules_qliktask_read"), *super().get_urls()]

    def read_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask Qlik Sense for its tasks, then show the list again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = refresh_tasks()
        except (QrsError, NoTasksError) as error:
            messages.error(request, str(error))
        else:
            counts = f"{found.new:,} new, {found.changed:,} changed, {found.gone:,} gone"
            messages.success(request, f"Qlik Sense has {found.total:,} reload tasks: {counts}.")
        return redirect("admin:schedules_qliktask_changelist")


class TaskChoice(AddressedAdmin):
    """Adds to the admin of schedules what proposes tasks while somebody types."""

    def get_urls(self) -> list[URLPattern]:
        """Add the address that the input asks."""
        view = self.admin_site.admin_view(require_GET(self.choose_task_view))
        return [path("tasks/", view, name="schedules_schedule_tasks"), *super().get_urls()]

    def choose_task_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the tasks whose name, app or id has what is typed, and with what is known of the id in it."""
        if not self.has_view_or_change_permission(request) and not self.has_add_permission(request):
            raise PermissionDenied
        term = request.GET.get("qlik_task_id", "").strip()
        # PostgreSQL refuses to look for a text with a NUL in it
        found = QlikTask.objects.filter(gone_at=None) if "\0" not in term else QlikTask.objects.none()
        matches = found.filter(Q(name__icontains=term) | Q(app_name__icontains=term) | Q(pk__startswith=term.lower()))
        context = {"tasks": matches[:CHOICES_SHOWN], "note": describe_task(term), "is_answer": True}
        return TemplateResponse(request, "schedules/task_choices.html", context)


def describe_task(task_id: str) -> str:
    """Return name, app and state of the task with this id; empty where nothing is known of it."""
    task = find_task(task_id) if task_id and "\0" not in task_id else None
    if task is None:
        return ""
    app = f", app {task.app_name}" if task.app_name else ""
    state = ", not in Qlik Sense any more" if task.gone_at else "" if task.is_enabled else ", disabled"
    return f"{task.name}{app}{state}"


def _describe_age() -> str:
    read_at = last_read_at()
    if read_at is None:
        return "Qlik Sense has not told of any task yet."
    return f"As Qlik Sense told {format_distance(read_at, now=timezone.now())}, at {read_at:%Y-%m-%d %H:%M:%S} UTC."
