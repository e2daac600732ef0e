"""The Django project: settings, wiring, and the command that runs it all."""

from schedules.zone_data import use_newest

# Whatever process this is, before anything in it loads a zone
use_newest()

from butler.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
