"""The web application: `gunicorn butler.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")

application = get_wsgi_application()
