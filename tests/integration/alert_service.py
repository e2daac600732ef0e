"""A service that takes alerts as JSON over HTTP, and fails, refuses or hangs as a test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.utils import timezone

from schedules.models import AlertChannel, Run, Schedule
from tests.conftest import TASK_ID

SECRET = "T0pS3cret-Hook"


@dataclass
class AlertService:
    """What it was sent, in order, and how it answers."""

    port: int
    received: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    #: So many seconds it takes for an answer, a byte each tenth of one
    drips_seconds: float = 0.0
    _asked: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}/in"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.received]

    def channel(self, name: str = "BI team", **values: object) -> AlertChannel:
        """Make a channel that ends here."""
        return AlertChannel.objects.create(name=name, **({"url": self.url} | values))


@contextmanager
def alert_service() -> Iterator[AlertService]:
    """Run the service on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.received.append(body | {"path": self.path})
            self.send_response(service.status)
            answer = b"no" if service.status >= 400 else b"ok"
            self.send_header("Content-Length", str(len(answer) + int(service.drips_seconds * 10)))
            self.end_headers()
            for _ in range(int(service.drips_seconds * 10)):
                if stopped.is_set():
                    return
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.1)
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = AlertService(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def close_run(schedule: Schedule | None, state: str, **values: object) -> Run:
    """Put a run of a schedule into the ledger that came into a final state now, and was called on time."""
    now = timezone.now()
    given: dict[str, Any] = {
        "schedule": schedule,
        "schedule_name": schedule.name if schedule else "",
        "qlik_task_id": schedule.qlik_task_id if schedule else TASK_ID,
        "due_at": now - timedelta(seconds=2),
        "planned_at": now,
        "called_at": None if state == "skipped" else now - timedelta(seconds=2),
        "reason": "scheduled",
        "state": state,
        "closed_at": now,
    } | values
    return Run.objects.create(**given)


def minutes(number: float) -> timedelta:
    """Return so many minutes."""
    return timedelta(minutes=number)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Return a moment of the day of the tests, in UTC."""
    return datetime.fromisoformat(f"2026-11-24T{hour:02}:{minute:02}:{second:02}+00:00")
