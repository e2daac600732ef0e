"""Schedules: the list, the form, and the buttons that start, stop and run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import DateTimeField, OuterRef, QuerySet, Subquery, Value
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from schedules import services
from schedules.admin import cells
from schedules.admin.backfill import BackfillPage
from schedules.admin.filters import StateFilter, TagFilter
from schedules.admin.forecast import ForecastPage
from schedules.admin.forms import LIMITS, TARGET, ScheduleForm, clean_limits, has_limits, read_limits
from schedules.admin.moments import format_distance, format_in_zone, format_utc
from schedules.admin.operations import GONE, OPERATIONS, PAUSE, origin_of
from schedules.admin.pauses import PauseForm, ask_for_pause
from schedules.admin.preview import Preview
from schedules.admin.qlik_tasks import TaskChoice
from schedules.known_tasks import describe_tasks
from schedules.models import Run, Schedule, ScheduleChange
from schedules.targets import describe_target, has_target
from schedules.task_warnings import find_known, list_warnings
from schedules.validators import NO_TASK_ID

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _Columns(TypedDict):
        read_at: datetime
        last_run_id: Any
        last_run_state: str | None
        last_run_due_at: datetime | None

    Row = WithAnnotations[Schedule, _Columns]

    class ListedRow(Schedule):
        task_name: str
        task_warning: str

        class Meta:
            abstract = True


@admin.register(Schedule)
class ScheduleAdmin(TaskChoice, BackfillPage, ForecastPage):
    """Every change goes through the services, hence through the rules and into the record of changes."""

    form = ScheduleForm
    list_display = ("listed_title", "state", "times", "next_start", "last_run", "listed_task")
    list_filter = (StateFilter, "timezone", TagFilter)
    search_fields = ("title", "name", "qlik_task_id")
    search_help_text = "Name, id or Qlik task id"
    ordering = ("title",)
    show_facets = admin.ShowFacets.NEVER
    actions = (
        "start_selected",
        "stop_selected",
        "pause_selected",
        "resume_selected",
        "run_selected",
        "stop_reload_selected",
        "backfill_selected",
        "cancel_backfill_selected",
    )
    readonly_fields = ("listed_tags", "public_id", "preview")
    change_form_outer_before_template = "schedules/schedule_panel.html"
    empty_list_title = "No schedules yet"
    empty_list_text = (
        "Add the first one here, create it through the API, or import a file with "
        "“python manage.py schedules import FILE”."
    )

    # What is read

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Add to each schedule its last run, and when all this was read."""
        # The order is that of the unique constraint's index, so each subquery reads one row of it
        runs = Run.objects.filter(schedule=OuterRef("pk")).order_by("-due_at", "-reason")
        schedules: QuerySet[Schedule] = (
            super()
            .get_queryset(request)
            .annotate(
                read_at=Value(timezone.now(), output_field=DateTimeField()),
                last_run_id=Subquery(runs.values("pk")[:1]),
                last_run_state=Subquery(runs.values("state")[:1]),
                last_run_due_at=Subquery(runs.values("due_at")[:1]),
            )
        )
        return schedules

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add to the schedules of the page what is known of their tasks."""
        changelist = super().get_changelist_instance(request)
        changelist.result_list = _with_tasks(list(changelist.result_list))
        return changelist

    @admin.display(description="name", ordering="title")
    def listed_title(self, schedule: Schedule) -> SafeString:
        """Return the title with the tags beneath."""
        return cells.stack(schedule.title or "(no name)", self.listed_tags(schedule))

    @admin.display(description="tags")
    def listed_tags(self, schedule: Schedule) -> SafeString:
        """Return the tags as labels; none where the row is broken and has no list."""
        return cells.labels(schedule.tags if isinstance(schedule.tags, list) else [])

    @admin.display(description="state", ordering="enabled")
    def state(self, row: Row) -> SafeString:
        """Return the label for started, stopped or broken, and until when it is paused."""
        if row.problem:
            return cells.label("broken", "danger")
        label = cells.label("started", "success") if row.enabled else cells.label("stopped")
        return cells.stack(label, *self._describe_pause(row))

    def _describe_pause(self, row: Row) -> Iterator[SafeString | str]:
        if row.paused_until is not None and row.is_paused(at=row.read_at):
            local = format_in_zone(row.paused_until, ZoneInfo(row.timezone), now=row.read_at)
            yield cells.with_title(f"paused until {local}", format_utc(row.paused_until))
            yield f"({row.pause_reason})" if row.pause_reason else ""

    @admin.display(description="when", ordering="cron_schedule")
    def times(self, schedule: Schedule) -> SafeString:
        """Return the expression in words, itself and the zone; for a broken row what is wrong with it."""
        written = format_html("{} {}", cells.code(schedule.cron_schedule), schedule.timezone)
        if problem := schedule.problem:
            return cells.stack(cells.warning(problem), written)
        return cells.stack(schedule.expression.describe(), written)

    @admin.display(description="next start")
    def next_start(self, row: Row) -> SafeString | str:
        """Return the next start by the schedule's clock and how far off it is."""
        due_at = None if row.problem else row.next_due_at(after=row.read_at)
        if due_at is None:
            return "none"
        local = cells.with_title(format_in_zone(due_at, ZoneInfo(row.timezone), now=row.read_at), format_utc(due_at))
        return cells.stack(local, format_distance(due_at, now=row.read_at))

    @admin.display(description="last run", ordering="last_run_due_at", empty_value="–")
    def last_run(self, row: Row) -> SafeString | None:
        """Return the state of the last run, linked to it, and how long ago it was due."""
        if row.last_run_id is None or row.last_run_state is None or row.last_run_due_at is None:
            return None
        url = reverse("admin:schedules_run_change", args=[row.last_run_id])
        state = format_html('<a href="{}">{}</a>', url, cells.run_state_label(row.last_run_state))
        distance = format_distance(row.last_run_due_at, now=row.read_at)
        return cells.stack(state, cells.with_title(distance, format_utc(row.last_run_due_at)))

    @admin.display(description="Qlik task", ordering="qlik_task_id")
    def listed_task(self, row: ListedRow) -> SafeString:
        """Return the task's name, its id as it is copied, and what looks wrong with it."""
        warning = cells.caution(row.task_warning) if row.task_warning else ""
        task_id = "" if row.qlik_task_id == NO_TASK_ID else cells.code(row.qlik_task_id)
        target = f"all with {describe_target(row)}" if has_target(row) else ""
        return cells.stack(row.task_name or target, task_id, target if row.task_name else "", warning)

    @admin.display(description="id in the API")
    def public_id(self, schedule: Schedule) -> SafeString:
        """Return the id by which the API knows the schedule."""
        return cells.code(schedule.name)

    @admin.display(description="next starts")
    def preview(self, schedule: Schedule) -> SafeString:
        """Return what the expression and the zone mean."""
        preview = Preview.of(
            schedule.cron_schedule, schedule.timezone, now=timezone.now(), limits=read_limits(schedule)
        )
        return format_html('<div id="schedule-preview" aria-live="polite">{}</div>', preview.render())

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> list[Any]:
        """Show the id of a schedule that has one, and labels to whom may not edit the tags."""
        may_edit = obj is None or self.has_change_permission(request, obj)
        identity = ["title", "qlik_task_id", "tags" if may_edit else "listed_tags", "public_id"]
        aims = obj is not None and has_target(obj)
        return [
            (None, {"fields": identity if obj else identity[:-1]}),
            ("Several tasks", {"fields": TARGET, "classes": [] if aims else ["collapse"]}),
            ("When", {"fields": ["cron_schedule", "timezone", "preview"]}),
            (
                "After a stop or a gap" if obj else "To begin with",
                {"fields": ["startup_state", "misfire", "misfire_grace"]},
            ),
            ("When Qlik Sense is busy or away", {"fields": ["overlap", "retry_deadline", "max_attempts"]}),
            ("Limits and exceptions", {"fields": LIMITS, "classes": [] if obj and has_limits(obj) else ["collapse"]}),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Schedule | None = None, **kwargs: Any
    ) -> HttpResponse:
        """Add the panel above the form: how the schedule does, and its buttons."""
        form = context["adminform"].form
        if obj is not None:
            # A form with errors has put what was typed into `obj`
            saved = self.get_object(request, str(obj.pk)) if form.errors else obj
            context["panel"] = self._describe(request, saved)
        if form.errors.keys() & {"cron_schedule", "timezone"}:
            # No preview of the old values beside new ones that are wrong
            form.instance.cron_schedule = ""
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    # What is done

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the buttons, which take POST only, and of the preview."""
        wrap = self.admin_site.admin_view
        operate = wrap(require_POST(self.operate_view))
        return [
            path("preview/", wrap(require_GET(self.preview_view)), name="schedules_schedule_preview"),
            path("<path:object_id>/pause/", wrap(self.pause_view), name="schedules_schedule_pause"),
            *(
                path(f"<path:object_id>/{name}/", operate, {"operation": name}, name=f"schedules_schedule_{name}")
                for name in OPERATIONS
            ),
            *super().get_urls(),
        ]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the preview of an expression and a zone that are being typed."""
        if not self.has_view_or_change_permission(request) and not self.has_add_permission(request):
            raise PermissionDenied
        texts = [request.GET.get(name, "").strip() for name in ("cron_schedule", "timezone")]
        limits = clean_limits(self.get_form(request)(request.GET))
        return HttpResponse(Preview.of(*texts, now=timezone.now(), limits=limits).render())

    def operate_view(self, request: HttpRequest, object_id: str, operation: str) -> HttpResponseBase:
        """Do what a button on the page of one schedule says, then show the page again."""
        schedule = self.get_object(request, unquote(object_id))
        if schedule is None:
            gone: HttpResponseBase = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        if not self.has_change_permission(request, schedule):
            raise PermissionDenied
        OPERATIONS[operation].perform_on([schedule], request=request)
        return redirect("admin:schedules_schedule_change", quote(schedule.pk))

    def pause_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask until when to pause one schedule, and do so."""
        schedule = self.get_object(request, unquote(object_id))
        if schedule is None:
            gone: HttpResponseBase = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        if not self.has_change_permission(request, schedule):
            raise PermissionDenied
        asked = self._pause(request, [schedule], is_sent=request.method == "POST")
        return asked or redirect("admin:schedules_schedule_change", quote(schedule.pk))

    def _pause(self, request: HttpRequest, schedules: Sequence[Schedule], *, is_sent: bool) -> HttpResponseBase | None:
        """Pause the schedules when the page was sent and is in order; else return the page."""
        form = PauseForm(request.POST if is_sent else None)
        if is_sent and form.is_valid():
            PAUSE.perform_on(schedules, request=request, **form.cleaned_data)
            return None
        return ask_for_pause(request, schedules, form=form, context=self.admin_site.each_context(request))

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> HttpResponseBase | None:
        """Ask until when to pause the selected schedules, and do so."""
        return self._pause(request, list(queryset), is_sent="pause" in request.POST)

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """End the pause of the selected schedules."""
        OPERATIONS["resume"].perform_on(queryset, request=request)

    @admin.action(description="Start", permissions=["change"])
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Start the selected schedules."""
        OPERATIONS["start"].perform_on(queryset, request=request)

    @admin.action(description="Stop", permissions=["change"])
    def stop_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Stop the selected schedules."""
        OPERATIONS["stop"].perform_on(queryset, request=request)

    @admin.action(description="Run now, once", permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Run the tasks of the selected schedules now, whatever their state."""
        OPERATIONS["run"].perform_on(queryset, request=request)

    @admin.action(description="Stop the reloads that run", permissions=["change"])
    def stop_reload_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Stop what runs of the tasks of the selected schedules."""
        OPERATIONS["stop_reload"].perform_on(queryset, request=request)

    def save_model(self, request: HttpRequest, obj: Schedule, form: ScheduleForm, change: bool) -> None:
        """Save through the services."""
        save = services.edit_schedule if change else services.create_schedule
        save(obj, origin=origin_of(request))

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:
        """Delete through the services."""
        services.delete_schedules([obj.name], origin=origin_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Delete through the services."""
        services.delete_schedules([schedule.name for schedule in queryset], origin=origin_of(request))

    def get_deleted_objects(
        self, objs: Iterable[Schedule], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name the schedules alone: the library's half of each row is no concern of people, runs stay."""
        titles = [f"{schedule.title} ({schedule.name})" for schedule in objs]
        return titles, {"schedules": len(titles)}, set(), []

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show what the services refuse beyond what the form has checked."""
        try:
            response: HttpResponseBase = super().changeform_view(request, *args, **kwargs)
        except (ValidationError, services.UnknownScheduleError) as error:
            reasons = error.messages if isinstance(error, ValidationError) else [GONE]
            self.message_user(request, " ".join(["Nothing was saved.", *reasons]), messages.ERROR)
            return redirect(request.get_full_path())
        return response

    def history_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show our record of changes: unlike Django's it has those made through the other doors."""
        return redirect(f"{reverse('admin:schedules_schedulechange_changelist')}?of={quote(object_id)}")

    def _describe(self, request: HttpRequest, schedule: Any) -> dict[str, Any]:
        return {
            "state": self.state(schedule),
            "problem": schedule.problem,
            "warning": list_warnings([schedule]).get(schedule.pk, ""),
            "tasks": describe_tasks(schedule) if has_target(schedule) else "",
            "next_start": self.next_start(schedule),
            "last_run": self.last_run(schedule),
            "is_started": schedule.enabled,
            "is_paused": schedule.is_paused(at=schedule.read_at),
            "may_operate": self.has_change_permission(request, schedule),
            "histories": list(self._list_histories(request, schedule)),
        }

    def _list_histories(self, request: HttpRequest, schedule: Schedule) -> Iterator[dict[str, str]]:
        for model, title, icon in ((Run, "Runs", "play_circle"), (ScheduleChange, "Changes", "manage_history")):
            if self.admin_site.get_model_admin(model).has_view_permission(request):
                url = reverse(f"admin:schedules_{model._meta.model_name}_changelist")
                yield {"title": title, "icon": icon, "url": f"{url}?of={schedule.pk}"}


def _with_tasks(schedules: Sequence[Any]) -> Sequence[Any]:
    """Add to each schedule the name of its task, and what looks wrong with it; two queries for all of them."""
    known = find_known(schedules)
    warnings = list_warnings(schedules, known)
    for schedule in schedules:
        task = known.get((schedule.qlik_task_id or "").lower())
        schedule.task_name = task.name if task else ""
        schedule.task_warning = warnings.get(schedule.pk, "")
    return schedules
