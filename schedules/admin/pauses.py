"""The page that asks until when to pause schedules, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from schedules.models import Schedule
from schedules.validators import LONGEST_REASON, validate_reason, validate_until

TITLES_SHOWN = 20


class PauseForm(forms.Form):
    until = forms.SplitDateTimeField(
        label="Until (UTC)",
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="Date and time by UTC. Afterwards the schedules go on by themselves.",
    )
    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        validators=[validate_reason],
        widget=UnfoldAdminTextInputWidget,
        help_text="For those who wonder why nothing starts; every skipped run has it.",
    )

    def clean_until(self) -> datetime:
        """Refuse a moment that has passed."""
        until: datetime = self.cleaned_data["until"]
        validate_until(until, now=timezone.now())
        return until


def ask_for_pause(
    request: HttpRequest, schedules: Sequence[Schedule], *, form: PauseForm, context: dict[str, Any]
) -> TemplateResponse:
    """Return the page; what it sends comes back to where it was asked for, with the same selection."""
    selection = [
        (name, value)
        for name in ("action", ACTION_CHECKBOX_NAME, "select_across", "index")
        for value in request.POST.getlist(name)
    ]
    return TemplateResponse(
        request,
        "schedules/pause.html",
        {
            **context,
            "title": "Pause",
            "opts": Schedule._meta,
            "form": form,
            "media": form.media,
            "selection": selection,
            "titles": [schedule.title for schedule in schedules[:TITLES_SHOWN]],
            "more": max(len(schedules) - TITLES_SHOWN, 0),
        },
    )
