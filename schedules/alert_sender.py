"""The way to the services that alerts are sent by: the library apprise, which is loaded when it is first needed.

That takes half a second and twenty megabytes, so beat, which never sends, goes without. An apprise URL is a secret, all
of it: what leaves this module, the errors of services among it, has nothing of it but the scheme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from apprise import Apprise
    from apprise.plugins.base import NotifyBase

#: How long a service may take for a message, all of its answers together
SEND_LIMIT = timedelta(seconds=15)

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://\S", re.IGNORECASE)
_HELP = "docs/how-to/alerts.md has examples."
#: What is shorter than this is no secret, and would tear holes into sentences
_SHORTEST_SECRET = 4
_LONGEST_ERROR = 500


class AlertUrlError(ValueError):
    """An apprise URL that nothing can be sent to; the message says why, without the URL."""


class AlertNotSentError(Exception):
    """A service did not take a message, or did not say so in time; the message has its words."""


class Level(StrEnum):
    """How a message looks where the service has colours or pictures; apprise's own words."""

    FAILURE = "failure"
    WARNING = "warning"
    SUCCESS = "success"
    INFO = "info"


def mask_url(url: str) -> str:
    """Return what may be shown of an apprise URL: mailto://***."""
    found = _SCHEME.match(url)
    return f"{found[1]}://***" if found else "***"


def check_url(url: str) -> None:
    """Raise AlertUrlError for a URL that apprise cannot send to; nothing is sent."""
    _make_service(url)


def send_alert(url: str, *, title: str, body: str, level: Level, limit: timedelta = SEND_LIMIT) -> None:
    """Send one message and wait until the service has taken it.

    Raises AlertUrlError, and AlertNotSentError when the service refuses it, fails, or takes longer than `limit`: then
    the message may come all the same.
    """
    service = _make_service(url)
    sender = _make_sender()
    sender.add(service)
    seconds = limit.total_seconds()
    result = sender.notify(body=body, title=title, notify_type=str(level), body_format="text", timeout=seconds)
    if not result:
        words = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
        said = _without_secrets(words, url) or f"It did not answer within {seconds:g} s."
        raise AlertNotSentError(f"{service.service_name} did not take the message: {said}"[:_LONGEST_ERROR])


def _make_sender() -> Apprise:
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(storage_mode="memory")
    asset.app_id = asset.app_desc = "Butler"
    return Apprise(asset=asset)


def _make_service(url: str) -> NotifyBase:
    if not (found := _SCHEME.match(url)):
        raise AlertUrlError(f"An apprise URL begins with the name of a service and ://, as mailto:// does. {_HELP}")
    from apprise import Apprise
    from apprise.exception import AppriseException

    try:
        service = Apprise.instantiate(url, asset=_make_sender().asset, suppress_exceptions=False)
    except (AppriseException, TypeError, ValueError) as error:
        words = _without_secrets(str(error), url)
        # Without the chain: its text has the URL
        raise AlertUrlError(f"apprise cannot use this {found[1]}:// URL: {words} {_HELP}") from None
    if service is None:
        raise AlertUrlError(f"apprise does not know {found[1]}://, or parts of the URL are missing. {_HELP}")
    return service


def _without_secrets(text: str, url: str) -> str:
    for secret in sorted(_parts_of(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parts_of(url: str) -> Iterator[str]:
    scheme, _, rest = url.partition("://")
    for part in re.split(r"[/:@?&=,\s]+", rest):
        for written in (part, unquote(part), part.lower()):
            if len(written) >= _SHORTEST_SECRET and written.lower() != scheme.lower():
                yield written
