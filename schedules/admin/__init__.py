"""The people's end: Django's admin, dressed by django-unfold. It holds no rules of its own."""

from __future__ import annotations

from schedules.admin import (
    alert_channels,
    alert_history,
    history,
    library,
    maintenance,
    navigation,
    people,
    qlik_tasks,
    schedules,
)

__all__ = [
    "alert_channels",
    "alert_history",
    "history",
    "library",
    "maintenance",
    "navigation",
    "people",
    "qlik_tasks",
    "schedules",
]
