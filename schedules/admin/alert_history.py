"""What was told and what is the matter, to be read; a message that was not sent can be sent again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from schedules.admin import cells
from schedules.admin.history import HistoryAdmin
from schedules.admin.moments import format_utc
from schedules.alert_queue import try_again
from schedules.alert_texts import describe_duration, describe_moment
from schedules.models import AlertCondition, AlertMessage

_STATE_COLOURS: dict[str, str] = {
    AlertMessage.State.PENDING: "info",
    AlertMessage.State.SENDING: "info",
    AlertMessage.State.SENT: "success",
    AlertMessage.State.FAILED: "danger",
}


@admin.register(AlertMessage)
class AlertMessageAdmin(HistoryAdmin):
    list_display = ("when", "listed_title", "channel_name", "listed_state")
    list_display_links = ("listed_title",)
    list_filter = ("state", "event", "is_recovery")
    search_fields = ("title", "channel_name")
    search_help_text = "Title or channel"
    actions = ("send_again",)
    fieldsets = (
        (None, {"fields": ["title", "text", "kind", "channel_name"]}),
        ("On its way", {"fields": ["state_label", "error", "attempts", "moments"]}),
    )
    empty_list_title = "Nothing was told yet"
    empty_list_text = "Each message to a channel appears here, with what came of it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the messages; they are no schedule's."""
        rows: QuerySet[Any] = super(HistoryAdmin, self).get_queryset(request)
        return rows

    def match(self, term: str) -> Q:
        """Find by a part of the title or the channel's name."""
        return Q(title__icontains=term) | Q(channel_name__icontains=term)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person has the permission to change messages, which is to send them again."""
        return bool(request.user.has_perm("schedules.change_alertmessage"))

    def has_view_permission(self, request: HttpRequest, obj: AlertMessage | None = None) -> bool:
        """Let those look who may send again, too."""
        return super().has_view_permission(request, obj) or self.has_resend_permission(request)

    @admin.action(description="Send again", permissions=["resend"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[AlertMessage]) -> None:
        """Have those of the selected messages sent that were not."""
        number = try_again(queryset, now=timezone.now())
        many = "1 message is" if number == 1 else f"{number:,} messages are"
        told = f"{many} sent within seconds." if number else "All of these were sent already."
        messages.add_message(request, messages.SUCCESS if number else messages.INFO, told)

    @admin.display(description="written (UTC)", ordering="pk")
    def when(self, message: AlertMessage) -> str:
        """Return when it was written in UTC."""
        return f"{message.created_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="message")
    def listed_title(self, message: AlertMessage) -> SafeString:
        """Return the title with its kind beneath."""
        return cells.stack(message.title, self.kind(message))

    @admin.display(description="kind")
    def kind(self, message: AlertMessage) -> str:
        """Return the event, and whether it tells of its end."""
        label = str(message.get_event_display())
        return f"{label}: well again" if message.is_recovery else label

    @admin.display(description="text")
    def text(self, message: AlertMessage) -> SafeString:
        """Return the text with its lines."""
        return format_html('<p class="alert-text">{}</p>', message.body)

    @admin.display(description="state")
    def listed_state(self, message: AlertMessage) -> SafeString:
        """Return the label of the state, and the error of one that was not sent."""
        tries = f"{message.attempts:,} attempts" if message.attempts > 1 else ""
        return cells.stack(self.state_label(message), tries, message.error)

    @admin.display(description="state")
    def state_label(self, message: AlertMessage) -> SafeString:
        """Return the label of the state."""
        return cells.label(str(message.get_state_display()), _STATE_COLOURS.get(message.state, ""))

    @admin.display(description="from writing to sending")
    def moments(self, message: AlertMessage) -> SafeString:
        """Return what happened when, in UTC."""
        moments = {
            "Written": message.created_at,
            "Last failed": message.failed_at,
            "Next attempt": message.next_try_at,
            "Sent": message.sent_at,
        }
        rows = ((name, format_utc(moment)) for name, moment in moments.items() if moment)
        lines = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", rows)
        return format_html('<table class="moments">{}</table>', lines)


class OpenFilter(admin.SimpleListFilter):
    """What is the matter now, or was."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return open and ended."""
        return [("open", "Open"), ("ended", "Well again")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AlertCondition]) -> QuerySet[AlertCondition]:
        """Keep those in the chosen state."""
        return queryset.filter(ended_at__isnull=self.value() == "open") if self.value() else queryset


@admin.register(AlertCondition)
class AlertConditionAdmin(HistoryAdmin):
    schedule_column = "schedule_pk"
    list_display = ("when", "listed_event", "subject_link", "how_often", "what_happened")
    list_display_links = ("when",)
    list_filter = (OpenFilter, "event")
    search_fields = ("name",)
    search_help_text = "Schedule’s name or id"
    fieldsets = (
        (None, {"fields": ["listed_event", "subject_link", "how_often", "what", "advice"]}),
        ("The last time", {"fields": ["due", "run_id", "qlik_task_id"]}),
    )
    empty_list_title = "Nothing is the matter"
    empty_list_text = "What alerts tell of appears here: failed starts and reloads, what was missed, late or slow."

    def match(self, term: str) -> Q:
        """Find by a part of the name that it had then, too."""
        return super().match(term) | Q(name__icontains=term)

    @admin.display(description="since (UTC)", ordering="pk")
    def when(self, condition: AlertCondition) -> str:
        """Return since when in UTC."""
        return f"{condition.since_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="what")
    def listed_event(self, condition: AlertCondition) -> SafeString:
        """Return the label of the event: red while it is open."""
        colour, note = "danger", ""
        if condition.ended_at:
            colour, note = "success", f"well again after {describe_duration(condition.ended_at - condition.since_at)}"
        return cells.stack(cells.label(str(condition.get_event_display()), colour), note)

    @admin.display(description="of")
    def subject_link(self, row: Any) -> SafeString | str:
        """Return the schedule's name with a link to it, or what else it is about."""
        return self.schedule_link(row) if row.schedule_name else str(row.name)

    @admin.display(description="times", ordering="count")
    def how_often(self, condition: AlertCondition) -> str:
        """Return how often it happened."""
        return f"{condition.count:,}"

    @admin.display(description="what happened last")
    def what_happened(self, condition: AlertCondition) -> SafeString:
        """Return what was said of the last time."""
        return cells.stack(condition.what)

    @admin.display(description="due", empty_value="–")
    def due(self, condition: AlertCondition) -> str | None:
        """Return when the last run was due."""
        return describe_moment(condition.due_at, condition.zone) if condition.due_at else None
