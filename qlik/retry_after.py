"""The header Retry-After: when a server wants to be asked again (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: No server is waited for longer than this, whatever it asks for
MAX_RETRY_AFTER = timedelta(hours=1)


def read_retry_after(text: str | None, *, date: str | None = None, now: datetime) -> timedelta | None:
    """Return how long to wait; None where nothing is asked for that can be read.

    The header has seconds, or the moment, which is measured from the header `date` of the answer: the server's clock
    need not be ours. `now` is used where that is missing.
    """
    words = (text or "").strip()
    if re.fullmatch("[0-9]+", words):
        # Of any length, as the standard has it
        seconds = min(int(words[:10]), MAX_RETRY_AFTER.total_seconds()) if len(words.lstrip("0")) < 10 else None
        return MAX_RETRY_AFTER if seconds is None else timedelta(seconds=seconds)
    moment = _read_moment(words)
    if moment is None:
        return None
    return min(max(moment - (_read_moment(date or "") or now), timedelta(0)), MAX_RETRY_AFTER)


def _read_moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A date without a zone is in UTC
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
