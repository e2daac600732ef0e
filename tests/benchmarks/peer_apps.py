"""The Celery applications of the peers, set up as well as their documents tell.

    celery -A tests.benchmarks.peer_apps:stock beat
    celery -A tests.benchmarks.peer_apps:redbeat beat

Both look once a second at least, as the service does: with the defaults, 5 and 300 seconds, an edit would wait for
that long. They ignore results, which makes their messages cheaper, and log warnings only.
"""

from __future__ import annotations

import os

from celery import Celery

TASK = "bench.nothing"
_COMMON = {
    "broker_url": os.environ["REDIS_URL"],
    "task_default_queue": "butler",
    "task_ignore_result": True,
    "result_expires": None,
    "timezone": "UTC",
    "beat_max_loop_interval": 1,
}

stock = Celery("stock", set_as_current=False)
stock.conf.update(_COMMON, beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler")

redbeat = Celery("redbeat", set_as_current=False)
redbeat.conf.update(
    _COMMON,
    beat_scheduler="redbeat.RedBeatScheduler",
    redbeat_redis_url=os.environ["REDIS_URL"],
    redbeat_redis_options={},
    # The default is five times the loop interval. It is renewed between passes only, and a pass over 5,000 due
    # schedules takes longer than that: RedBeat would end with an error.
    redbeat_lock_timeout=300,
)


def do_nothing() -> None:
    """Stand for the task; no worker runs it."""


for app in (stock, redbeat):
    app.task(name=TASK, shared=False)(do_nothing)
