"""Variables by which Celery would overrule the settings: REDIS_URL alone says where Redis is.

Celery reads CELERY_BROKER_URL and others by itself and prefers them, while beat's wake-up call and health read
REDIS_URL. Its command line takes each of its options from a variable, too.
"""

from __future__ import annotations

import os

#: What the command line of Celery takes without its usual prefix
_WITHOUT_PREFIX = ("BROKER_URL", "RESULT_BACKEND", "LOADER", "CONFIG_MODULE")
#: Set by Celery's command line itself, for its processes
_ITS_OWN = ("CELERY_SKIP_CHECKS",)

#: Names that were set, and have no effect
ignored: set[str] = set()


def ignore_celery_variables() -> None:
    """Take the variables out of this process's environment, hence out of that of the processes it starts."""
    for name in [*os.environ]:
        if name in _WITHOUT_PREFIX or (name.startswith("CELERY") and name not in _ITS_OWN):
            del os.environ[name]
            ignored.add(name)
