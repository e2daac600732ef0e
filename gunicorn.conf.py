"""How gunicorn serves Butler: `gunicorn butler.wsgi` reads this file by itself."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from butler.address import join_address
from butler.checks import check_host

try:
    refusals = check_host()
except ImproperlyConfigured as error:
    sys.exit(f"butler: {error}")
if refusals:
    sys.exit(f"butler: {refusals[0].msg} {refusals[0].hint}")

bind = join_address(settings.BUTLER_HOST, settings.BUTLER_PORT)
worker_class = "gthread"
workers = 1
threads = 8
preload_app = True
# `manage.py up` stops everything within 5 seconds
graceful_timeout = 1
# It would be one socket for all the gunicorns of a user
control_socket_disable = True

accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s bytes %(M)s ms'
logconfig_dict = settings.LOGGING | {
    "loggers": {
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "gunicorn.access": {"level": "INFO", "propagate": True},
    },
}


def post_worker_init(worker: Any) -> None:
    """Keep half of the threads, however many they are, for requests that do not wait for Qlik Sense."""
    from schedules.qrs import share_threads

    share_threads(worker.cfg.threads)
