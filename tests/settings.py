"""The service's settings for the tests: nothing from .env or the environment but where the database is."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_DATA_DIR = tempfile.mkdtemp(prefix="butler-tests-")
atexit.register(shutil.rmtree, _DATA_DIR, ignore_errors=True)

os.environ |= {
    "BUTLER_DATA_DIR": _DATA_DIR,
    "BUTLER_ALERT_SLOW_FACTOR": "",
    "BUTLER_ALERT_URLS": "",
    "BUTLER_DIALECT": "4",
    "BUTLER_HOST": "127.0.0.1",
    "BUTLER_PORT": "8080",
    "BUTLER_START_STATE": "last",
    "BUTLER_WORKERS": "2",
    "BUTLER_WORKER_CONCURRENCY": "4",
    "BUTLER_MAX_CONCURRENT_STARTS": "0",
    "BUTLER_MAX_STARTS_PER_SECOND": "0",
    "BUTLER_FOLLOW_RELOADS": "on",
    "BUTLER_ALLOWED_TASKS": "",
    "BUTLER_ALLOWED_TAGS": "",
    "BUTLER_ALLOWED_CUSTOM_PROPERTIES": "",
    # Nothing listens there: a test that needs Redis or QRS takes its fixture
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "QRS_URL": "https://127.0.0.1:1",
    "QRS_CERT_DIR": f"{_DATA_DIR}/certificates",
    "QRS_AUTH": "certificate",
    "QRS_HEADER_NAME": "",
    "QRS_HOST_NAME": "",
    "QRS_JWT": "",
    "QRS_KEY_PASSWORD": "",
    "QRS_TIMEOUT": "2,5",
    "QRS_TOTAL_TIMEOUT": "",
    "QRS_USER": "Internal\\sa_repository",
    "QRS_VERIFY": "full",
    "QRS_START_CALL": "synchronous",
    "QRS_IN_DOUBT": "wait",
    "SECRET_KEY": "only-for-tests",
    "DATABASE_URL": os.environ.get("DATABASE_URL", ""),
}

from butler.settings import *  # noqa: E402, F403

if "sqlite3" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # A file: threads and processes share it as they do in service
    DATABASES["default"]["TEST"] = {"NAME": f"{_DATA_DIR}/test.sqlite3"}  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
