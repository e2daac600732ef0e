"""The menu at the side, and the first page that explains it: what one may see, the most needed first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

#: Title of the group, then model or page, icon and purpose of each entry
_GROUPS = (
    (
        "Qlik Sense tasks",
        (
            ("schedules.schedule", "calendar_month", "Which task starts when. Add, edit, start and stop them here."),
            ("schedules.qliktask", "dns", "The tasks that Qlik Sense has: their apps, tags and last reloads."),
            ("schedules.run", "play_circle", "What was started, when, how late, and what Qlik Sense answered."),
            (
                "schedules.forecast",
                "monitoring",
                "How many tasks will start when, and which schedules meet.",
            ),
            ("schedules.schedulechange", "manage_history", "Who changed which schedule, when and how."),
            ("schedules.maintenance", "construction", "Start nothing on the whole site for some time."),
        ),
    ),
    (
        "Alerts",
        (
            ("schedules.alertchannel", "notifications", "Who is told when something is the matter, and how."),
            ("schedules.alertmessage", "outgoing_mail", "What was told, and whether it got there."),
            ("schedules.alertcondition", "report", "What is the matter now, and what was."),
        ),
    ),
    (
        "Housekeeping",
        (
            ("django_celery_beat.periodictask", "cleaning_services", "The service’s own repeated work."),
            ("django_celery_beat.crontabschedule", "event_repeat", "Times of day and week for it."),
            ("django_celery_beat.intervalschedule", "timer", "Every so many seconds, minutes, hours or days."),
            ("django_celery_beat.clockedschedule", "alarm", "Single moments."),
            ("django_celery_beat.solarschedule", "wb_twilight", "Sunrise, noon and sunset at a place."),
        ),
    ),
    (
        "People",
        (
            ("auth.user", "person", "Who may log in here, and what for."),
            ("auth.group", "group", "Permissions that several people share."),
        ),
    ),
)


admin.site.index_title = "Overview"
admin.site.index_template = "schedules/overview.html"


def list_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return unfold's description of the menu: groups with a title and items."""
    visible = {
        model["model"]._meta.label_lower: model
        for app in admin.site.get_app_list(request)
        for model in app["models"]
        if model["admin_url"]
    }
    if "schedules.schedule" in visible:
        forecast = reverse("admin:schedules_schedule_forecast")
        visible["schedules.forecast"] = {"name": "Load forecast", "admin_url": forecast}
    groups = [
        {"title": title, "items": [_item(visible[entry[0]], *entry[1:]) for entry in entries if entry[0] in visible]}
        for title, entries in _GROUPS
    ]
    _mark_active(groups, path=request.path)
    return [group for group in groups if group["items"]]


def _mark_active(groups: Iterable[dict[str, Any]], *, path: str) -> None:
    """Mark the one entry that the page belongs to; by unfold's rule a page under a list's address has two."""
    items = [item for group in groups for item in group["items"]]
    nearest = max((item["link"] for item in items if path.startswith(item["link"])), key=len, default="")
    for item in items:
        item["active"] = item["link"] == nearest


def _item(model: dict[str, Any], icon: str, purpose: str) -> dict[str, Any]:
    return {"title": model["name"], "link": model["admin_url"], "icon": icon, "purpose": purpose}
