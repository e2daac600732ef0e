"""The project's entry in INSTALLED_APPS."""

from __future__ import annotations

import os

from django.apps import AppConfig


class ButlerConfig(AppConfig):
    name = "butler"

    def ready(self) -> None:
        """Register the system checks, but for a Celery that skips them: with them comes the client of QRS."""
        if "CELERY_SKIP_CHECKS" not in os.environ:
            from butler import checks  # noqa: F401
