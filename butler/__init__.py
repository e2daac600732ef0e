"""The Django project: settings, wiring, and the command that runs it all."""

from butler.celery import app as celery_app

__all__ = ["celery_app"]
