"""Alert channels: who is told when something is the matter, with a button that sends a test."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Case, CharField, Count, OuterRef, QuerySet, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
)

from schedules.admin import cells
from schedules.admin.addresses import AddressedAdmin
from schedules.admin.forms import LinesField
from schedules.admin.kept_texts import KeptTextsForm
from schedules.admin.moments import format_distance, format_utc
from schedules.alert_channels import get_channel, send_test
from schedules.alert_models import EVENT_CHOICES
from schedules.alert_queue import list_troubles
from schedules.alert_texts import PLACEHOLDERS
from schedules.models import AlertChannel, AlertMessage

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class _Columns(TypedDict):
        last_id: int | None
        last_state: str | None
        last_at: datetime | None
        trouble: str | None
        chosen: int

    Row = WithAnnotations[AlertChannel, _Columns]
    ChannelModelForm = forms.ModelForm[AlertChannel]
else:
    ChannelModelForm = forms.ModelForm

_TEMPLATES = ["title_template", "body_template", "placeholders"]
_URL_HELP = (
    "Where to send: <code>mailtos://user:password@example.com?to=bi@example.com</code>, "
    "<code>slack://TokenA/TokenB/TokenC</code>, <code>workflows://...</code> for Teams, "
    "<code>jsons://example.com/hook</code>. It is a secret and never shown again."
)


class ChannelForm(KeptTextsForm, ChannelModelForm):
    url = forms.CharField(
        label="Apprise URL",
        max_length=2000,
        # Without the value: a page would show it to whoever looks into its source
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password", "spellcheck": "false"}, render_value=False),
        help_text=_URL_HELP,
    )
    events = forms.MultipleChoiceField(
        label="Tell of",
        required=False,
        choices=EVENT_CHOICES,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None: of all of them.",
    )
    tags = LinesField(
        label="Only these tags",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="One on each line. A schedule with any of them counts.",
    )

    class Meta:
        model = AlertChannel
        fields = (
            "name",
            "url",
            "is_enabled",
            "events",
            "tags",
            "schedules",
            "quiet_time",
            "tells_recovery",
            "title_template",
            "body_template",
        )
        labels = {"schedules": "Only these schedules", "title_template": "Title", "body_template": "Text"}
        help_texts = {
            "schedules": "Beside those with the tags. With neither, all schedules count, and Qlik Sense and its "
            "certificates too.",
            "quiet_time": "Hours, minutes and seconds. For so long nothing is told again of what goes on.",
            "title_template": "Empty: as the service writes it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Someone who may only look gets a form without fields
        if self.instance.pk and "url" in self.fields:
            self.fields["url"].required = False
            self.fields["url"].help_text = f"Now {self.instance.masked_url}. Leave it empty to keep it."

    def clean_url(self) -> str:
        """Keep the URL where none was typed."""
        return str(self.cleaned_data["url"] or self.instance.url)


@admin.register(AlertChannel)
class AlertChannelAdmin(AddressedAdmin):
    form = ChannelForm
    list_display = ("listed_name", "state", "hears", "last_message")
    list_filter = ("is_enabled",)
    search_fields = ("name",)
    search_help_text = "Name"
    autocomplete_fields = ("schedules",)
    readonly_fields = ("placeholders", "shown_url", "hears")
    show_facets = admin.ShowFacets.NEVER
    change_form_outer_before_template = "schedules/channel_panel.html"
    empty_list_title = "Nobody is told yet"
    empty_list_text = "Add a channel: mail, Slack, Teams, a webhook. When something is the matter it is told there."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertChannel]:
        """Add to each channel its last message, what is wrong with it, and how many schedules it is for."""
        troubles = [When(name=told.channel, then=Value(told.error)) for told in list_troubles(now=timezone.now())]
        key = Concat(Value("db:"), Cast(OuterRef("pk"), CharField()))
        last = AlertMessage.objects.filter(channel_key=key).order_by("-created_at", "-pk")
        channels: QuerySet[AlertChannel] = (
            super()
            .get_queryset(request)
            .annotate(
                last_id=Subquery(last.values("pk")[:1]),
                last_state=Subquery(last.values("state")[:1]),
                last_at=Subquery(last.values("created_at")[:1]),
                trouble=Case(*troubles, output_field=TextField()) if troubles else Value(None, TextField()),
                chosen=Count("schedules"),
            )
        )
        return channels

    def get_fieldsets(self, request: HttpRequest, obj: AlertChannel | None = None) -> list[Any]:
        """Show to whom may not edit what may be shown: of the URL that is the scheme."""
        may_edit = obj is None or self.has_change_permission(request, obj)
        words = ("In words of your own", {"fields": _TEMPLATES, "classes": ["collapse"]})
        return [
            (None, {"fields": ["name", "url" if may_edit else "shown_url", "is_enabled"]}),
            ("What for", {"fields": ["events", "tags", "schedules"] if may_edit else ["hears"]}),
            ("How often", {"fields": ["quiet_time", "tells_recovery"]}),
            *([words] if may_edit else []),
        ]

    @admin.display(description="apprise URL")
    def shown_url(self, channel: AlertChannel) -> str:
        """Return what may be shown of the URL."""
        return channel.masked_url

    @admin.display(description="name", ordering="name")
    def listed_name(self, channel: AlertChannel) -> SafeString:
        """Return the name with what may be shown of the URL beneath."""
        return cells.stack(channel.name, channel.masked_url)

    @admin.display(description="state", ordering="is_enabled")
    def state(self, row: Row) -> SafeString:
        """Return the label for enabled, disabled or failing."""
        if not row.is_enabled:
            return cells.label("disabled")
        if row.trouble is not None:
            return cells.stack(cells.label("failing", "danger"), row.trouble)
        return cells.label("enabled", "success")

    @admin.display(description="told of")
    def hears(self, row: Row) -> SafeString:
        """Return the events and the schedules that it is for."""
        names = dict(EVENT_CHOICES)
        events = [names.get(event, str(event)) for event in row.events]
        tags = [f"tag {tag}" for tag in row.tags]
        chosen = [f"{row.chosen:,} schedule{'' if row.chosen == 1 else 's'}"] if row.chosen else []
        return cells.stack(", ".join(events) or "Everything", ", ".join([*tags, *chosen]) or "of all schedules")

    @admin.display(description="last message", empty_value="–")
    def last_message(self, row: Row) -> SafeString | None:
        """Return when the last message was written, linked to it, and what came of it."""
        if row.last_id is None or row.last_at is None:
            return None
        url = reverse("admin:schedules_alertmessage_change", args=[row.last_id])
        when = cells.with_title(format_distance(row.last_at, now=timezone.now()), format_utc(row.last_at))
        return cells.stack(cells.link(url, when), str(dict(AlertMessage.State.choices).get(row.last_state or "", "")))

    @admin.display(description="placeholders")
    def placeholders(self, channel: AlertChannel) -> SafeString:
        """Return what a template may have in braces."""
        rows = ((f"{{{name}}}", meaning) for name, meaning in PLACEHOLDERS.items())
        lines = format_html_join("", "<tr><th><code>{}</code></th><td>{}</td></tr>", rows)
        return format_html('<table class="moments">{}</table>', lines)

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button that sends a test, which takes POST only."""
        test = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("<path:object_id>/test/", test, name="schedules_alertchannel_test"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: AlertChannel | None = None, **kwargs: Any
    ) -> HttpResponse:
        """Add whether the button may be pressed."""
        context["may_test"] = obj is not None and self.has_change_permission(request, obj)
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send a test to a channel as it is saved, and show what the service said."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            gone: HttpResponseBase = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        trial = send_test(get_channel(row.name))
        if trial.is_sent:
            told = f"The test was sent: the service took it after {trial.seconds:.1f} s. Look whether it has arrived."
            messages.success(request, told)
        else:
            messages.error(request, f"The test was not sent. {trial.error}")
        return redirect("admin:schedules_alertchannel_change", quote(row.pk))
