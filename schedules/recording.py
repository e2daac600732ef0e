"""The one way of outcomes into the ledger. What QRS has answered is not lost to a database that is away."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from threading import Thread

from django.db import DatabaseError, connection

from schedules import runs, starting
from schedules.patience import AWAY, insist
from schedules.runs import Outcome

logger = logging.getLogger(__name__)

#: How long whoever asked for a start waits for the ledger; what it does not take by then is recorded after the answer
ANSWER_SECONDS = 2.0


def record(outcomes: Sequence[Outcome], *, seconds: float = math.inf) -> None:
    """Write outcomes into the ledger, and tell the circuit breaker of them, as soon as the database takes them.

    Raises the database's error when it is still away after so many seconds.
    """
    if outcomes:
        closed = _write(outcomes, seconds=seconds)
        if closed:
            logger.error("%d of these runs were closed while QRS was called: %s", closed, outcomes)
        _note(outcomes)


def record_soon(outcomes: Sequence[Outcome]) -> None:
    """Do as `record` does, but let the caller go on after ANSWER_SECONDS: a thread tries on while the process lives."""
    try:
        record(outcomes, seconds=ANSWER_SECONDS)
    except AWAY as error:
        logger.error("%d outcomes cannot be recorded, which is tried on: %s: %s", len(outcomes), error, outcomes)
        Thread(target=_record_and_leave, args=[outcomes], name="recorder", daemon=True).start()


def _record_and_leave(outcomes: Sequence[Outcome]) -> None:
    try:
        record(outcomes)
    finally:
        # The thread's own, which nobody else would close
        connection.close()


def _write(outcomes: Sequence[Outcome], *, seconds: float) -> int:
    """Write the outcomes; return how many were closed by someone else meanwhile, or cannot be written at all."""
    what = f"{len(outcomes)} outcomes cannot be recorded"
    try:
        return insist(lambda: runs.record_outcomes(outcomes), what=what, seconds=seconds)
    except AWAY:
        raise
    except DatabaseError:
        logger.exception("the database refuses outcomes: %s", outcomes)
        # One that it does not take must not keep the others; QRS is asked about its run when the claim is lost
        return 1 if len(outcomes) == 1 else sum(_write([outcome], seconds=seconds) for outcome in outcomes)


def _note(outcomes: Sequence[Outcome]) -> None:
    what = "the circuit breaker cannot be told of outcomes"
    try:
        insist(lambda: starting.note_outcomes(outcomes), what=what, seconds=ANSWER_SECONDS)
    except AWAY:
        # Nothing depends on it: the next calls tell the same
        logger.exception("%s", what)
