"""QRS as if it were down: its ports are closed for a while, and a restart may lose what was running."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qlik.simulator.listener import Listener, ListenError
from qlik.simulator.tasks import Site

# How long to wait until a port that somebody else has taken is asked for again.
RETRY_SECONDS = 0.5


class Keeps(StrEnum):
    """What outlives an outage of the runs under way."""

    SESSIONS = "sessions"  # everything: the runs go on
    RESULTS = "results"  # sessions are gone, results end as reset
    NOTHING = "nothing"  # sessions are gone, and the results of what was running


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """QRS is down: for so many seconds, or until it is ended."""

    seconds: float | None = None
    keeps: Keeps = Keeps.SESSIONS


class Mains:
    """Takes the ports of QRS away and gives them back, for any number of threads."""

    def __init__(self, listeners: Sequence[Listener], site: Site) -> None:
        self._listeners = listeners
        self._site = site
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._ends_at: float | None = None
        self._is_down = True
        self._is_closed = False

    @property
    def address(self) -> str:
        """Where QRS is."""
        return self._listeners[0].url

    @property
    def is_down(self) -> bool:
        """Whether nobody can connect."""
        return self._is_down

    @property
    def remaining_seconds(self) -> float | None:
        """How long the outage will last; None when nobody knows, or when there is none."""
        ends_at = self._ends_at
        return None if ends_at is None else max(ends_at - time.monotonic(), 0)

    def begin(self, outage: Outage) -> None:
        """Hang up on everyone; an outage that is under way gets a new end."""
        with self._lock:
            self._stop_timer()
            if not self._is_down:
                self._is_down = True
                for listener in self._listeners:
                    listener.close()
            if outage.keeps is not Keeps.SESSIONS:
                self._site.lose_sessions(keep_results=outage.keeps is Keeps.RESULTS)
            if outage.seconds is not None:
                self._end_in(outage.seconds)

    def end(self) -> None:
        """Answer, at first or again. Raises ListenError when somebody else has a port."""
        with self._lock:
            self._stop_timer()
            if not self._is_down or self._is_closed:
                return
            with contextlib.ExitStack() as started:
                for listener in self._listeners:
                    listener.start()
                    started.callback(listener.close)
                started.pop_all()
            self._is_down = False

    def close(self) -> None:
        """Hang up on everyone for good."""
        with self._lock:
            self._is_closed = True
            self.begin(Outage())

    def _end_in(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._end_by_itself)
        self._timer.daemon = True
        self._timer.start()

    def _end_by_itself(self) -> None:
        with self._lock:
            # Another thread may have cancelled this timer while it waited for the lock.
            if self._timer is not threading.current_thread():
                return
            try:
                self.end()
            except ListenError:
                self._end_in(RETRY_SECONDS)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._ends_at = None
