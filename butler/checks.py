"""System checks of the settings: mistakes that can be told before anything runs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError

from butler.address import is_loopback
from butler.celery_environment import ignored
from butler.setting_names import UnknownName, list_unknown
from qlik.errors import CertificateError
from schedules.alert_sender import AlertUrlError, check_url
from schedules.validators import validate_task_id

#: The checks of what only a running service needs; `manage.py up` and `check --deploy` run them
QRS_TAG = "qrs"
#: Names, in lower case, that a file called .env gets by mistake
NOT_QUITE_ENV = frozenset({".env", ".env.txt", ".env.env", "env.txt", "env.env"})
#: Settings without which more happens than with them, and the names that tell whether they are set: a misspelt one must
#: not start the simulator, or every task
GUARDING = {
    "QRS_URL": "QRS_IS_GIVEN",
    "BUTLER_ALLOWED_TASKS": "BUTLER_ALLOWED_TASKS",
    "BUTLER_ALLOWED_TAGS": "BUTLER_ALLOWED_TAGS",
    "BUTLER_ALLOWED_CUSTOM_PROPERTIES": "BUTLER_ALLOWED_CUSTOM_PROPERTIES",
}


@checks.register("security")
def check_host(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse an address that other machines can reach: the API asks nobody who they are."""
    if is_loopback(settings.BUTLER_HOST):
        return []
    return [
        checks.Error(
            f"BUTLER_HOST is {settings.BUTLER_HOST!r}, but it must be a loopback address: 127.0.0.1, ::1 or localhost. "
            "The API is open to everyone who reaches it.",
            hint="Use a tunnel from other machines: ssh -L 8080:127.0.0.1:8080 HOST. See docs/configuration.md.",
            id="butler.E001",
        )
    ]


@checks.register("security")
def check_allow_list(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse entries of the allow-list that can never allow anything."""
    ids = [text for text in settings.BUTLER_ALLOWED_TASKS if not _is_task_id(text)]
    properties = [text for text in settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES if not _is_property(text)]
    return [
        *(_describe_entry("BUTLER_ALLOWED_TASKS", text, "is no GUID of a task") for text in ids),
        *(
            _describe_entry("BUTLER_ALLOWED_CUSTOM_PROPERTIES", text, "is no property with its value, Name=Value")
            for text in properties
        ),
    ]


@checks.register("settings")
def check_names(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Tell of names that look like settings and are none: nothing would happen, and nobody would know why."""
    return [_describe_unknown(unknown) for unknown in list_unknown()]


@checks.register("security")
def check_celery_variables(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Tell of variables that would overrule REDIS_URL for Celery alone, and are ignored."""
    hint = "Take them out of the environment and of .env. REDIS_URL says where Redis is."
    told = f"{', '.join(sorted(ignored))} in the environment: Celery would read this, and here it has no effect."
    return [checks.Warning(told, hint=hint, id="butler.W003")] if ignored else []


@checks.register("settings")
def check_env_file(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse a file that was meant to be .env and has another name, as editors of Windows give it."""
    found = sorted(path for path in settings.BASE_DIR.iterdir() if path.name.lower() in NOT_QUITE_ENV)
    if not found or (settings.BASE_DIR / ".env").exists():
        return []
    message = f"{found[0]} is not read: the file with the settings is called .env."
    return [checks.Error(message, hint="Rename it to .env, or take it away.", id="butler.E007")]


@checks.register(QRS_TAG, deploy=True)
def check_qrs(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Check what the client of a real QRS needs, without calling it; the simulator brings its own."""
    if not settings.QRS_IS_GIVEN:
        return []
    # Beat registers the checks too, and starts sooner without the client
    from qlik.client import QrsClient
    from schedules.qrs import qrs_settings

    try:
        QrsClient(qrs_settings()).close()
    except ValueError as error:
        return [_describe_wrong_setting(error)]
    except CertificateError as error:
        hint = "QRS_CERT_DIR must hold client.pem, client_key.pem and root.pem as Qlik Sense exports them."
        return [checks.Error(str(error), hint=hint, id="butler.E002")]
    if settings.QRS_VERIFY == "off":
        hint = "Set QRS_VERIFY=chain: it accepts a certificate for another host name, but only from root.pem."
        return [
            checks.Warning("QRS_VERIFY is off: anyone in the network can pose as QRS.", hint=hint, id="butler.W001")
        ]
    return []


@checks.register(QRS_TAG, deploy=True)
def check_alert_urls(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse URLs that no alert can be sent to: it would be noticed in the night when one is needed."""
    found: list[checks.CheckMessage] = []
    for number, url in enumerate(settings.BUTLER_ALERT_URLS, 1):
        try:
            check_url(url)
        except AlertUrlError as error:
            place = f"URL {number} of {len(settings.BUTLER_ALERT_URLS)}"
            hint = "docs/how-to/alerts.md has examples. Special characters are written as in every URL, @ as %40."
            found.append(checks.Error(f"BUTLER_ALERT_URLS, {place}: {error}", hint=hint, id="butler.E005"))
    return found


def _describe_unknown(unknown: UnknownName) -> checks.CheckMessage:
    message = f"{unknown.name} in {unknown.place} is no setting, so it does nothing."
    guarding = _guess_guarding(unknown)
    if guarding and not getattr(settings, GUARDING[guarding]):
        hint = f"Call it {guarding}, which is not set, or take it away."
        return checks.Error(message, hint=hint, id="butler.E006")
    hint = f"Do you mean {unknown.nearest}?" if unknown.nearest else "docs/configuration.md has all settings."
    return checks.Warning(message, hint=hint, id="butler.W002")


def _guess_guarding(unknown: UnknownName) -> str:
    """Return which of GUARDING the name may be meant for; empty for none."""
    if unknown.nearest:
        return unknown.nearest if unknown.nearest in GUARDING else ""
    prefixes = {"QRS_": "QRS_URL", "BUTLER_ALLOW": "BUTLER_ALLOWED_TASKS"}
    return next((name for prefix, name in prefixes.items() if unknown.name.upper().startswith(prefix)), "")


def _is_task_id(text: str) -> bool:
    try:
        validate_task_id(text)
    except ValidationError:
        return False
    return True


def _is_property(text: str) -> bool:
    name, _, value = text.partition("=")
    return bool(name.strip() and value.strip())


def _describe_entry(setting: str, text: str, flaw: str) -> checks.CheckMessage:
    hint = "Correct it, or leave it out; entries have commas between them. See docs/configuration.md."
    return checks.Error(f"{setting} has {text!r}, which {flaw}.", hint=hint, id="butler.E004")


def _describe_wrong_setting(error: ValueError) -> checks.CheckMessage:
    if settings.QRS_AUTH == "certificate":
        return checks.Error(str(error), hint="Correct QRS_USER, QRS_URL or QRS_HOST_NAME.", id="butler.E002")
    hint = "QRS_AUTH=jwt needs QRS_JWT or QRS_JWT_FILE; QRS_AUTH=header needs QRS_HEADER_NAME and QRS_USER."
    return checks.Error(f"QRS_AUTH is {settings.QRS_AUTH}, but: {error}", hint=hint, id="butler.E003")
