"""The people's end: Django's admin, dressed by django-unfold. It holds no rules of its own."""

from __future__ import annotations

from schedules.admin import history, library, maintenance, navigation, people, qlik_tasks, schedules

__all__ = ["history", "library", "maintenance", "navigation", "people", "qlik_tasks", "schedules"]
