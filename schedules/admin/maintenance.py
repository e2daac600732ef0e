"""Maintenance of the site: begun and ended here, told on every page while it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from schedules.admin import cells
from schedules.admin.addresses import AddressedAdmin
from schedules.admin.moments import format_distance
from schedules.admin.operations import origin_of
from schedules.maintenance import MaintenanceError, begin_maintenance, end_maintenance
from schedules.models import Maintenance
from schedules.validators import validate_reason, validate_until

if TYPE_CHECKING:
    MaintenanceModelForm = forms.ModelForm[Maintenance]
else:
    MaintenanceModelForm = forms.ModelForm

LIST = "admin:schedules_maintenance_changelist"


def describe_site(request: HttpRequest) -> dict[str, Any]:
    """Give templates `get_maintenance`, which asks the database only where a page uses it."""
    return {"get_maintenance": lambda: Maintenance.current_at(timezone.now())}


class MaintenanceForm(MaintenanceModelForm):
    class Meta:
        model = Maintenance
        fields = ("ended_at", "reason")
        labels = {"ended_at": "Until (UTC)"}
        help_texts = {
            "ended_at": "Date and time by UTC. Leave it empty to go on until somebody ends it.",
            "reason": "For those who wonder why nothing starts; every skipped run has it.",
        }

    def clean_ended_at(self) -> Any:
        """Refuse an end that has passed."""
        until = self.cleaned_data["ended_at"]
        if until is not None:
            validate_until(until, now=timezone.now())
        return until

    def clean_reason(self) -> str:
        """Refuse what the services refuse."""
        reason: str = self.cleaned_data["reason"]
        validate_reason(reason)
        return reason


@admin.register(Maintenance)
class MaintenanceAdmin(AddressedAdmin):
    """All the site has had, to be read; to add one is to begin it."""

    form = MaintenanceForm
    list_display = ("began", "ended", "why", "who")
    list_display_links = ("began",)
    search_fields = ("reason", "actor")
    search_help_text = "Reason, or who began it"
    actions = None
    show_facets = admin.ShowFacets.NEVER
    change_form_outer_before_template = "schedules/maintenance_panel.html"
    empty_list_title = "No maintenance yet"
    empty_list_text = "Begin one when Qlik Sense is worked on: nothing starts, and every schedule keeps its state."

    def has_change_permission(self, request: HttpRequest, obj: Maintenance | None = None) -> bool:
        """Nobody edits what was; who has the permission may end what is."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Maintenance | None = None) -> bool:
        """Let those look who may end one, too."""
        return super().has_view_permission(request, obj) or self.may_end(request)

    def has_delete_permission(self, request: HttpRequest, obj: Maintenance | None = None) -> bool:
        """Nobody deletes from a history."""
        return False

    def may_end(self, request: HttpRequest) -> bool:
        """Tell whether the person has the permission to change maintenance."""
        return bool(request.user.has_perm("schedules.change_maintenance"))

    def get_fields(self, request: HttpRequest, obj: Maintenance | None = None) -> tuple[str, ...]:
        """Ask for end and reason, or show all of one."""
        return ("began", "ended", "why", "who") if obj else ("ended_at", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Maintenance | None = None) -> tuple[str, ...]:
        """Let nothing of one be edited."""
        return ("began", "ended", "why", "who") if obj else ()

    @admin.display(description="began (UTC)", ordering="began_at")
    def began(self, maintenance: Maintenance) -> str:
        """Return when it began in UTC."""
        return f"{maintenance.began_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="until (UTC)", ordering="ended_at")
    def ended(self, maintenance: Maintenance) -> SafeString | str:
        """Return when it ended in UTC, or that it lasts."""
        now = timezone.now()
        if maintenance.ended_at is None:
            return cells.label("until somebody ends it", "warning")
        ended = f"{maintenance.ended_at:%Y-%m-%d %H:%M:%S}"
        if maintenance.ended_at <= now:
            return ended
        return cells.stack(cells.label(ended, "warning"), format_distance(maintenance.ended_at, now=now))

    @admin.display(description="reason", empty_value="–")
    def why(self, maintenance: Maintenance) -> str | None:
        """Return the reason."""
        return maintenance.reason or None

    @admin.display(description="begun by", empty_value="unknown", ordering="actor")
    def who(self, maintenance: Maintenance) -> str | None:
        """Return who began it."""
        return maintenance.actor or None

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the button that ends it, which takes POST only."""
        end = self.admin_site.admin_view(require_POST(self.end_view))
        return [path("end/", end, name="schedules_maintenance_end"), *super().get_urls()]

    def end_view(self, request: HttpRequest) -> HttpResponse:
        """End the maintenance, then show the list."""
        if not self.may_end(request):
            raise PermissionDenied
        ended = end_maintenance(origin=origin_of(request))
        told = "The maintenance has ended; schedules go on." if ended else "The site was not in maintenance."
        messages.add_message(request, messages.SUCCESS if ended else messages.INFO, told)
        return redirect(LIST)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Begin a maintenance, or say why not."""
        kwargs["extra_context"] = {"title": "Begin a maintenance"}
        try:
            response: HttpResponseBase = super().add_view(request, *args, **kwargs)
        except MaintenanceError as error:
            messages.error(request, str(error))
            return redirect(LIST)
        return response

    def save_model(self, request: HttpRequest, obj: Maintenance, form: MaintenanceForm, change: bool) -> None:
        """Begin it through the services."""
        begun = begin_maintenance(until=obj.ended_at, reason=obj.reason, origin=origin_of(request))
        obj.pk, obj.began_at, obj.actor = begun.pk, begun.began_at, begun.actor

    def response_add(
        self, request: HttpRequest, obj: Maintenance, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Say what holds from now on, then show the list."""
        messages.success(request, "The maintenance has begun; nothing is started until it ends.")
        return redirect(LIST)
