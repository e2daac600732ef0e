"""Steps on the database that are made again when it is away: a connection was cut, or the lock is held for too long."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connection

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: What says that the database is away, and not that the step is wrong. PostgreSQL ends an idle transaction, and refuses
#: writes after a fail-over, with internal errors
AWAY = (OperationalError, InterfaceError, InternalError)
#: How long to wait before a step is made again, in seconds; the last one from then on. A cut connection needs no pause
PAUSES: tuple[float, ...] = (0, 0.5, 1, 2, 4, 8)


def insist(step: Callable[[], T], *, what: str, seconds: float = math.inf) -> T:
    """Make a step until the database takes it, and return what it returns; `what` tells the log what is waiting.

    The step must do no harm when it is made twice: a commit may have been carried out although its answer was lost.
    Raises the database's error when it is still away after so many seconds, and any other error at once.
    """
    until = time.monotonic() + seconds
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        try:
            return step()
        except AWAY as error:
            if time.monotonic() + pause > until:
                raise
            logger.error("%s, trying again in %s s: %s", what, pause, str(error).strip())
            if not connection.in_atomic_block:
                # Cut, or to a server that takes no writes any more: the next connection may be to another
                connection.close()
            time.sleep(pause)
    raise AssertionError("there is always another pause")
