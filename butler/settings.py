"""Settings of the service. docs/configuration.md describes each one; a wrong value stops the start and names itself."""

from __future__ import annotations

import ssl
from typing import Any

from celery.schedules import schedule as every
from django.templatetags.static import static

from butler import environment as settings_from
from butler.celery_environment import ignore_celery_variables
from butler.database_url import read_database

BASE_DIR = settings_from.PROJECT_FOLDER
settings_from.read_files(BASE_DIR / ".env")

# Where the database, the secret key and the files of the embedded servers live
BUTLER_DATA_DIR = settings_from.read_path("BUTLER_DATA_DIR", default=BASE_DIR / "data")

# `manage.py up` leaves the addresses of the servers it started in this file, so that commands typed in a
# second terminal find them. What a person sets wins over it.
RUN_FILE = BUTLER_DATA_DIR / "run.env"
REDIS_IS_GIVEN = settings_from.is_given("REDIS_URL")
QRS_IS_GIVEN = settings_from.is_given("QRS_URL")
settings_from.read_files(RUN_FILE)

# The way in
BUTLER_HOST = settings_from.read_text("BUTLER_HOST", "127.0.0.1")
BUTLER_PORT = settings_from.read_whole_number("BUTLER_PORT", default=8080, least=1, most=65535)
BUTLER_DIALECT = int(settings_from.read_choice("BUTLER_DIALECT", default="4", allowed=("4", "16")))
BUTLER_START_STATE = settings_from.read_choice("BUTLER_START_STATE", default="last", allowed=("last", "startup"))
BUTLER_WORKERS = settings_from.read_whole_number("BUTLER_WORKERS", default=2, least=1, most=32)
BUTLER_WORKER_CONCURRENCY = settings_from.read_whole_number("BUTLER_WORKER_CONCURRENCY", default=16, least=1, most=256)
# 0 is no limit
BUTLER_MAX_CONCURRENT_STARTS = settings_from.read_whole_number(
    "BUTLER_MAX_CONCURRENT_STARTS", default=0, least=0, most=5000
)
BUTLER_MAX_STARTS_PER_SECOND = settings_from.read_whole_number(
    "BUTLER_MAX_STARTS_PER_SECOND", default=0, least=0, most=5000
)
BUTLER_FOLLOW_RELOADS = settings_from.read_choice("BUTLER_FOLLOW_RELOADS", default="on", allowed=("on", "off")) == "on"
# Without any of these, every task may be started
BUTLER_ALLOWED_TASKS = settings_from.read_list("BUTLER_ALLOWED_TASKS")
BUTLER_ALLOWED_TAGS = settings_from.read_list("BUTLER_ALLOWED_TAGS")
BUTLER_ALLOWED_CUSTOM_PROPERTIES = settings_from.read_list("BUTLER_ALLOWED_CUSTOM_PROPERTIES")
# Who is told when something is the matter, beside the channels of the admin
BUTLER_ALERT_URLS = settings_from.read_alert_urls("BUTLER_ALERT_URLS")
# 0 is never
BUTLER_ALERT_SLOW_FACTOR = settings_from.read_whole_number("BUTLER_ALERT_SLOW_FACTOR", default=3, least=0, most=1000)
REDIS_URL = settings_from.read_redis_url("REDIS_URL", default="redis://127.0.0.1:6379/0")

# The Qlik Sense Repository Service
QRS_URL = settings_from.read_url_list("QRS_URL", default="https://127.0.0.1:4242", schemes=("https",))
QRS_CERT_DIR = settings_from.read_path("QRS_CERT_DIR", default=BUTLER_DATA_DIR / "certificates")
QRS_KEY_PASSWORD = settings_from.read_secret("QRS_KEY_PASSWORD")
QRS_AUTH = settings_from.read_choice("QRS_AUTH", default="certificate", allowed=("certificate", "jwt", "header"))
QRS_JWT = settings_from.read_secret("QRS_JWT").strip()
QRS_HEADER_NAME = settings_from.read_text("QRS_HEADER_NAME")
QRS_USER = settings_from.read_text("QRS_USER", "Internal\\sa_repository")
QRS_START_CALL = settings_from.read_choice("QRS_START_CALL", default="synchronous", allowed=("synchronous", "plain"))
QRS_IN_DOUBT = settings_from.read_choice("QRS_IN_DOUBT", default="wait", allowed=("wait", "unknown"))
QRS_VERIFY = settings_from.read_choice(
    "QRS_VERIFY", default="full", allowed=("full", "chain", "off"), also={"true": "full", "false": "off"}
)
QRS_HOST_NAME = settings_from.read_text("QRS_HOST_NAME")
QRS_TIMEOUT = settings_from.read_timeouts("QRS_TIMEOUT", default="5,30")
QRS_TOTAL_TIMEOUT = settings_from.read_seconds("QRS_TOTAL_TIMEOUT", default=sum(QRS_TIMEOUT))

# Django
SECRET_KEY = settings_from.read_secret_key("SECRET_KEY", kept_in=BUTLER_DATA_DIR / "secret-key")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", BUTLER_HOST]
ROOT_URLCONF = "butler.urls"
WSGI_APPLICATION = "butler.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
SESSION_COOKIE_NAME = f"butler-{BUTLER_PORT}"
CSRF_COOKIE_NAME = f"butler-csrf-{BUTLER_PORT}"

INSTALLED_APPS = [
    # Its templates add to unfold's
    "schedules",
    "unfold",
    # Without its search for pages, which butler.urls does: beat and workers start sooner
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "rest_framework",
    "butler",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "schedules.middleware.ChunkedBodyMiddleware",
    "schedules.middleware.MethodOverrideMiddleware",
    "schedules.middleware.StorableAddressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "schedules.admin.maintenance.describe_site",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

REST_FRAMEWORK = {
    # The API is as open as Butler's, which is why the service answers on the loopback address only.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["schedules.parsers.BoundedJSONParser"],
    "EXCEPTION_HANDLER": "schedules.exceptions.handle_exception",
}

# Database; without a URL it is a file in the data folder
DATABASE_URL = settings_from.read_text("DATABASE_URL")


def _database() -> dict[str, Any]:
    options = read_database("DATABASE_URL", default=BUTLER_DATA_DIR / "butler.sqlite3")
    # Threads of the web server and the worker each keep their connection
    options["CONN_MAX_AGE"] = None
    if "sqlite3" in options["ENGINE"]:
        options["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
        }
    else:
        options["ENGINE"] = "butler.postgresql"
        options["CONN_HEALTH_CHECKS"] = True
        # PgBouncer, in its transaction mode, has no cursor that outlives a transaction
        options["DISABLE_SERVER_SIDE_CURSORS"] = True
    return options


DATABASES = {"default": _database()}

# Celery
ignore_celery_variables()
CELERY_BROKER_URL = REDIS_URL
if REDIS_URL.startswith("rediss:"):
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that is full or read-only refuses single commands: a worker tries again, as it does for one that is away
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10}
CELERY_TASK_IGNORE_RESULT = True
# Beat publishes; what Redis does not take it sends again itself, from the ledger
CELERY_TASK_PUBLISH_RETRY = False
CELERY_RESULT_EXPIRES = None
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_CONSUMER = "butler.consumer:PromptConsumer"
CELERY_WORKER_POOL = "threads"
# Messages in hand at once; the calls that they ask for share BUTLER_WORKER_CONCURRENCY threads
CELERY_WORKER_CONCURRENCY = 4
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULER = "schedules.beat.QlikScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
# Without an expiry, which would be by the clock of beat's host; schedules.housekeeping leaves out what comes too late
CELERY_BEAT_SCHEDULE = {
    "butler: sweep runs": {"task": "schedules.sweep_runs", "schedule": every(10)},
    # Two calls of QRS each time, whatever the number of runs
    "butler: follow runs": {"task": "schedules.follow_runs", "schedule": every(15)},
    "butler: read tasks": {"task": "schedules.read_tasks", "schedule": every(300)},
    "butler: watch": {"task": "schedules.watch", "schedule": every(10)},
}
DJANGO_CELERY_BEAT_TZ_AWARE = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s",
            "datefmt": "%Y-%m-%d %H:%M:%S",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Celery announces each message twice; the ledger's own line says more
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # ... and housekeeping each time
        "celery.beat": {"level": "WARNING"},
        # What a service answers may have parts of an address, which is a secret; the queue tells what went wrong
        "apprise": {"handlers": [], "level": "WARNING", "propagate": False},
        "django.server": {"handlers": ["console"], "propagate": False},
    },
}

# The admin's look: instants that name their zone, and greens that are dark enough for white text on them
FORMAT_MODULE_PATH = "schedules.formats"
UNFOLD = {
    "SITE_TITLE": "Butler",
    "SITE_HEADER": "Butler",
    "SITE_SUBHEADER": "Qlik Sense tasks, on time",
    "SITE_SYMBOL": "schedule",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("schedules/favicon.svg")},
    ],
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: static("schedules/admin.css")],
    "SIDEBAR": {"navigation": "schedules.admin.navigation.list_navigation"},
    "COLORS": {
        "primary": {
            "50": "#ecfdf5",
            "100": "#d1fae5",
            "200": "#a7f3d0",
            "300": "#6ee7b7",
            "400": "#34d399",
            "500": "#10b981",
            "600": "#047857",
            "700": "#065f46",
            "800": "#064e3b",
            "900": "#022c22",
            "950": "#011a15",
        },
    },
}
