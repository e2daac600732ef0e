"""The page on which people look at what did not run in a time gone by, and run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from schedules.admin.addresses import AddressedAdmin
from schedules.admin.operations import GONE, origin_of
from schedules.backfill import BackfillError, Occurrence, Preview, backfill, cancel_backfill, preview_backfill
from schedules.instants import parse_instant
from schedules.maintenance import MaintenanceError
from schedules.models import Schedule
from schedules.periods import PeriodError
from schedules.services import UnknownScheduleError

#: Of the schedules of a preview so many are shown, those with the most to start first
PREVIEWS_SHOWN = 50

_FORMAT = "%Y-%m-%d %H:%M:%S"


class MomentField(forms.DateTimeField):
    """An instant of UTC in one input."""

    widget = UnfoldAdminTextInputWidget({"autocomplete": "off", "spellcheck": "false"})
    default_error_messages = {"invalid": "This is not a time. Write it as 2026-03-29 06:00:00, or without the seconds."}

    def to_python(self, value: Any) -> datetime | None:
        """Return the instant that was typed; raises ValidationError."""
        if value in self.empty_values:
            return None
        try:
            return parse_instant(str(value).strip(), naive_is_utc=True)
        except ValueError as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error

    def prepare_value(self, value: Any) -> Any:
        """Return the instant as it is typed."""
        return value if isinstance(value, str) else value and f"{value.astimezone(UTC):{_FORMAT}}"


class BackfillForm(forms.Form):
    from_at = MomentField(label="From (UTC)")
    until_at = MomentField(label="Until (UTC)", help_text="Included, and not later than now.")
    again = forms.BooleanField(
        label="Again", required=False, widget=UnfoldBooleanWidget, help_text="Also run again what has run."
    )
    chosen = forms.CharField(widget=forms.HiddenInput)


class BackfillPage(AddressedAdmin):
    """Adds the action and its page to the admin of schedules."""

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the page."""
        view = self.admin_site.admin_view(self.backfill_view)
        return [path("backfill/", view, name="schedules_schedule_backfill"), *super().get_urls()]

    @admin.action(description="Run what was missed …", permissions=["change"])
    def backfill_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> HttpResponse:
        """Ask for the time, which is the hour gone by until someone gives another."""
        until_at = timezone.now().replace(microsecond=0)
        chosen = ",".join(map(str, queryset.order_by("pk").values_list("pk", flat=True)))
        initial = {"from_at": until_at - timedelta(hours=1), "until_at": until_at, "chosen": chosen}
        return self._show_backfill(request, BackfillForm(initial=initial))

    @admin.action(description="Cancel backfills", permissions=["change"])
    def cancel_backfill_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Take back the runs of backfills that have not started."""
        try:
            done = cancel_backfill(queryset.values_list("name", flat=True), origin=origin_of(request))
        except UnknownScheduleError:
            messages.error(request, f"Nothing was done. {GONE}")
            return
        sentences = [f"{_count(done.cancelled, 'run')} cancelled." if done.cancelled else "No run of a backfill waits."]
        if done.in_hand:
            sentences.append(f"{_count(done.in_hand, 'run')} cannot be taken back any more, for a worker has them.")
        messages.add_message(request, messages.SUCCESS if done.cancelled else messages.INFO, " ".join(sentences))

    def backfill_view(self, request: HttpRequest) -> HttpResponseBase:
        """Show what there is to run, and run it when the button for that was pressed."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        form = BackfillForm(request.POST)
        if request.method != "POST" or "chosen" not in form.data:
            messages.info(request, "Tick the schedules first, then choose “Run what was missed …”.")
            return redirect("admin:schedules_schedule_changelist")
        try:
            return self._backfill(request, form) if form.is_valid() else self._show_backfill(request, form)
        except (PeriodError, BackfillError, MaintenanceError) as error:
            form.add_error(None, str(error))
        except UnknownScheduleError:
            form.add_error(None, GONE)
        return self._show_backfill(request, form)

    def _backfill(self, request: HttpRequest, form: BackfillForm) -> HttpResponseBase:
        values = form.cleaned_data
        period = {"from_at": values["from_at"], "until_at": values["until_at"]}
        names = self._list_names(values["chosen"])
        # What was changed since it was shown is shown first
        if request.POST.get("confirm") != _seal(form):
            return self._show_backfill(request, form, previews=preview_backfill(names, **period))
        planned = backfill(names, **period, again=values["again"], origin=origin_of(request))
        messages.success(request, f"{_count(planned, 'run')} planned; they start at once, and are listed here.")
        return redirect(f"{reverse('admin:schedules_run_changelist')}?reason__exact=backfill")

    def _list_names(self, chosen: str) -> list[str]:
        pks = [int(pk) for pk in chosen.split(",") if pk.isascii() and pk.isdecimal() and len(pk) <= 18]
        found: dict[int, Schedule] = Schedule.objects.in_bulk(pks)
        if len(found) < len(set(pks)):
            raise UnknownScheduleError(next(str(pk) for pk in pks if pk not in found))
        return [schedule.name for schedule in found.values()]

    def _show_backfill(
        self, request: HttpRequest, form: BackfillForm, *, previews: Iterable[Preview] | None = None
    ) -> HttpResponse:
        again = bool(form.data.get("again"))
        found = [(preview, preview.list_wanted(again=again)) for preview in previews or ()]
        found.sort(key=lambda pair: -len(pair[1]))
        wanted = sum(preview.count_runs(again=again) for preview, _ in found)
        context = self.admin_site.each_context(request) | {
            "title": "Run what was missed",
            "form": form,
            "chosen": _count(len(form["chosen"].value().split(",")), "schedule"),
            "is_preview": previews is not None,
            "rows": [_row_of(*pair) for pair in found[:PREVIEWS_SHOWN]],
            "more": len(found) - PREVIEWS_SHOWN,
            "wanted": _count(wanted, "run") if wanted else "",
            "seal": _seal(form) if previews is not None else "",
        }
        return TemplateResponse(request, "schedules/backfill.html", context)


def _row_of(preview: Preview, wanted: Sequence[Occurrence]) -> dict[str, str]:
    return {
        "title": preview.schedule.title,
        "due": f"{len(preview.occurrences):,}",
        "states": ", ".join(f"{number:,} {state}" for state, number in preview.count_states().items()),
        "wanted": f"{len(wanted):,}",
        "first": f"{wanted[0].due_at:{_FORMAT}}" if wanted else "",
        "last": f"{wanted[-1].due_at:{_FORMAT}}" if wanted else "",
    }


def _seal(form: BackfillForm) -> str:
    """Return what tells one preview from another."""
    return "/".join(str(form.cleaned_data[name]) for name in ("from_at", "until_at", "again"))


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
