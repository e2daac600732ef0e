"""The two histories, to be read only: the ledger of runs and the record of changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.paginator import InfinitePaginator

from schedules.admin import cells
from schedules.admin.addresses import AddressedAdmin
from schedules.admin.calendar_links import list_calendar_links
from schedules.admin.filters import OneScheduleChangesFilter, OneScheduleFilter, ReasonFilter
from schedules.admin.moments import format_in_zone, format_milliseconds, format_span, format_utc
from schedules.admin.stops import StopButton
from schedules.models import Maintenance, Run, Schedule, ScheduleChange
from schedules.run_lookup import narrow_to

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _Columns(TypedDict):
        schedule_title: str | None
        schedule_zone: str | None

    RunRow = WithAnnotations[Run, _Columns]
    ChangeRow = WithAnnotations[ScheduleChange, _Columns]

_MOMENTS = (
    "planned_at",
    "queued_at",
    "claimed_at",
    "called_at",
    "answered_at",
    "reload_started_at",
    "ended_at",
    "closed_at",
)


class HistoryAdmin(AddressedAdmin):
    """A list that grows without end and that nobody edits. No page of it counts the rows."""

    paginator = InfinitePaginator
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions: Sequence[str] | None = None
    # Any other order would sort all of it
    sortable_by = ("listed_due_at", "when")
    #: The column that holds the key of the schedule, which may be gone
    schedule_column = ""
    #: What a row without a schedule is about
    without_schedule = ""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds to a history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a history."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes from a history."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add the schedule's name and zone; both are None for one that was deleted."""
        schedules = Schedule.objects.filter(pk=OuterRef(self.schedule_column))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                schedule_title=Subquery(schedules.values("title")[:1]),
                schedule_zone=Subquery(schedules.values("timezone")[:1]),
            )
        )
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by the schedule's id or a part of its name; subclasses add to it."""
        term = search_term.strip()
        return (queryset.filter(self.match(term)) if term else queryset), False

    def match(self, term: str) -> Q:
        """Return what a row must be to be found by `term`, which is not empty."""
        schedules = Schedule.objects.filter(Q(title__icontains=term) | Q(name=term))
        return Q(**{f"{self.schedule_column}__in": schedules.values("pk")}) | Q(schedule_name=term)

    @admin.display(description="schedule")
    def schedule_link(self, row: RunRow | ChangeRow) -> SafeString | str:
        """Return the schedule's name with a link to it, or the id of one that was deleted."""
        if not row.schedule_name:
            return self.without_schedule
        if row.schedule_title is None:
            return cells.stack(cells.short_id(row.schedule_name), "deleted")
        url = reverse("admin:schedules_schedule_change", args=[getattr(row, self.schedule_column)])
        return cells.link(url, row.schedule_title)

    @admin.display(description="schedule’s id in the API")
    def public_id(self, row: RunRow | ChangeRow) -> SafeString:
        """Return the id by which the API knew the schedule."""
        return cells.code(row.schedule_name)


@admin.register(Run)
class RunAdmin(StopButton, HistoryAdmin):
    schedule_column = "schedule_id"
    without_schedule = "none, it was asked for"
    list_display = ("listed_due_at", "schedule_link", "listed_state", "listed_lateness", "call", "outcome")
    list_filter = (OneScheduleFilter, "state", ("reason", ReasonFilter))
    search_fields = ("schedule_name", "qlik_task_id")
    search_help_text = "Schedule’s name or id, or Qlik task id"
    date_hierarchy = "due_at"
    fieldsets = (
        (None, {"fields": ["schedule_link", "public_id", "task_id", "due", "state_label", "reason", "message"]}),
        (
            "The reload, as Sense tells it",
            {"fields": ["reload", "reload_attempts", "node", "script_log", "what_sense_says"]},
        ),
        ("Moments", {"fields": ["moments", "lateness_in_words", "next_try_at"]}),
        ("Behind the scenes", {"fields": ["qrs_session", "worker", "attempts", "id"]}),
    )
    empty_list_title = "No runs yet"
    empty_list_text = "A run appears here at the moment when a started schedule is due, or when you press “Run now”."

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Add the links to years, months and days, made without reading the rows in between."""
        due = Run.objects.order_by("due_at").values_list("due_at", flat=True)
        calendar = list_calendar_links("due_at", first=due.first(), last=due.last(), query=request.GET)
        return super().changelist_view(request, (extra_context or {}) | {"calendar": calendar})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by the schedule's id, a part of its name, or the id of a Qlik task."""
        term = search_term.strip()
        return (narrow_to(queryset, term) if term else queryset), False

    @admin.display(description="due (UTC)", ordering="due_at")
    def listed_due_at(self, run: Run) -> str:
        """Return the due instant in UTC."""
        return f"{run.due_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="state")
    def listed_state(self, run: Run) -> SafeString:
        """Return the label of the state with the reason of the run beneath."""
        return cells.stack(cells.run_state_label(run.state), run.get_reason_display())

    @admin.display(description="state")
    def state_label(self, run: Run) -> SafeString:
        """Return the label of the state."""
        return cells.run_state_label(run.state)

    @admin.display(description="lateness", empty_value="–")
    def listed_lateness(self, run: Run) -> str | None:
        """Return the time from the due instant to the call of Qlik Sense."""
        return None if run.lateness is None else format_milliseconds(run.lateness)

    @admin.display(description="called, answered (UTC)", empty_value="–")
    def call(self, run: Run) -> SafeString | None:
        """Return when Qlik Sense was called and when it answered."""
        if run.called_at is None:
            return None
        answered = "no answer" if run.answered_at is None else f"{run.answered_at:%H:%M:%S.%f}"[:-3]
        return cells.stack(f"{run.called_at:%H:%M:%S.%f}"[:-3], answered)

    @admin.display(description="outcome", empty_value="–")
    def outcome(self, run: Run) -> SafeString | None:
        """Return the message, how long the reload took or the session of one under way, and the worker."""
        reload = format_html("session {}", cells.short_id(str(run.qrs_session))) if run.qrs_session else ""
        if run.reload_duration is not None:
            reload = format_html("reload took {}", format_span(run.reload_duration))
        return cells.stack(run.message, reload, run.worker) if run.message or reload or run.worker else None

    @admin.display(description="status", empty_value="–")
    def reload(self, run: Run) -> str | None:
        """Return the status of the reload and how long it took."""
        if run.reload_status is None:
            return None
        took = "" if run.reload_duration is None else f", after {format_span(run.reload_duration)}"
        return f"{run.get_reload_status_display()}{took}"

    @admin.display(description="details", empty_value="–")
    def what_sense_says(self, run: Run) -> SafeString | None:
        """Return what Sense wrote about the last attempt, line by line."""
        lines = ((line,) for line in run.reload_details.splitlines())
        return format_html_join("", "<div>{}</div>", lines) if run.reload_details else None

    @admin.display(description="Qlik task id")
    def task_id(self, run: Run) -> SafeString:
        """Return the id of the task that was started."""
        return cells.code(run.qlik_task_id)

    @admin.display(description="due")
    def due(self, row: RunRow) -> SafeString:
        """Return the due instant in UTC and by the schedule's clock."""
        return cells.stack(format_utc(row.due_at), _by_clock_of(row.schedule_zone, row.due_at))

    @admin.display(description="lateness of the call")
    def lateness_in_words(self, run: Run) -> str:
        """Return the lateness, or why there is none."""
        return "Qlik Sense was not called." if run.lateness is None else format_milliseconds(run.lateness)

    @admin.display(description="from due to answer")
    def moments(self, run: Run) -> SafeString:
        """Return what happened when, in UTC, each with the time since the due instant."""
        names = ((name.removesuffix("_at").replace("_", " ").capitalize(), getattr(run, name)) for name in _MOMENTS)
        rows = (
            (name, format_utc(moment), format_milliseconds(moment - run.due_at))
            for name, moment in names
            if moment is not None
        )
        lines = format_html_join("", "<tr><th>{}</th><td>{}</td><td>{} after due</td></tr>", rows)
        return format_html('<table class="moments">{}</table>', lines)


@admin.register(ScheduleChange)
class ScheduleChangeAdmin(HistoryAdmin):
    schedule_column = "schedule_pk"
    without_schedule = "the whole site"
    list_display = ("when", "who", "listed_action", "schedule_link", "what")
    list_filter = (OneScheduleChangesFilter, "action", "source")
    search_fields = ("schedule_name", "actor")
    search_help_text = "Schedule’s name or id, or who changed it"
    fieldsets = ((None, {"fields": ["schedule_link", "public_id", "listed_action", "what", "who", "when"]}),)
    empty_list_title = "No changes yet"
    empty_list_text = (
        "Whoever creates, edits, starts, stops, pauses or deletes a schedule, by whichever door, is noted here."
    )

    def match(self, term: str) -> Q:
        """Find by a part of the actor's name, too."""
        return super().match(term) | Q(actor__icontains=term)

    @admin.display(description="when (UTC)", ordering="pk")
    def when(self, change: ScheduleChange) -> str:
        """Return the instant of the change in UTC."""
        return f"{change.changed_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="who")
    def who(self, change: ScheduleChange) -> SafeString:
        """Return the person and the door."""
        return cells.stack(change.actor or "unknown", change.get_source_display())

    @admin.display(description="change")
    def listed_action(self, change: ScheduleChange) -> SafeString:
        """Return the label of what was done."""
        return cells.label(change.get_action_display(), _ACTION_COLOURS.get(change.action, ""))

    @admin.display(description="old and new values", empty_value="–")
    def what(self, change: ScheduleChange) -> SafeString | None:
        """Return each changed value as it was and as it is."""
        lines = format_html_join("", "<li>{}: <del>{}</del> → <ins>{}</ins></li>", _list_differences(change.diff))
        return format_html('<ul class="diff">{}</ul>', lines) if lines else None


_ACTION_COLOURS: dict[str, str] = {
    ScheduleChange.Action.CREATE: "info",
    ScheduleChange.Action.EDIT: "warning",
    ScheduleChange.Action.START: "success",
    ScheduleChange.Action.PAUSE: "warning",
    ScheduleChange.Action.RESUME: "success",
    ScheduleChange.Action.DELETE: "danger",
}


def _by_clock_of(zone: str | None, moment: datetime) -> str:
    try:
        return format_in_zone(moment, ZoneInfo(zone), now=moment) if zone else ""
    except (KeyError, ValueError, OSError):
        # A zone that was broken by hand: unknown, no possible name, or the name of a folder
        return ""


def _list_differences(diff: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for field, (old, new) in diff.items():
        yield _name_of(field), _in_words(old), _in_words(new)


def _name_of(field: str) -> str:
    for model in (Schedule, Maintenance):
        try:
            return str(model._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
        except FieldDoesNotExist:
            continue
    return field


def _in_words(value: object) -> str:
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text or "nothing"
