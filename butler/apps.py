"""The project's entry in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class ButlerConfig(AppConfig):
    name = "butler"

    def ready(self) -> None:
        """Register the system checks."""
        from butler import checks  # noqa: F401
