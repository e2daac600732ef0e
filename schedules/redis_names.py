"""The names of all that an installation keeps on Redis, so that two on one Redis do not take each other's messages.

They are made from an id that is in the database, and so are the same for whoever uses that database, on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from schedules.models import Lease


@dataclass(frozen=True, slots=True)
class RedisNames:
    """What the keys and channels of one installation are called."""

    installation: str

    @property
    def queue(self) -> str:
        """The list of messages for workers."""
        return f"butler:{self.installation}"

    @property
    def channel(self) -> str:
        """Where beat hears the wake-up call."""
        return f"{self.queue}:wake-up"

    @property
    def mark(self) -> str:
        """The key by which beat sees that Redis was wiped; its value is the beat that leads."""
        return f"{self.queue}:mark"

    @property
    def stranger(self) -> str:
        """The key that tells for a while of a beat with the same names and another database."""
        return f"{self.queue}:stranger"

    @property
    def probe(self) -> str:
        """A key that is written to see whether that can be done."""
        return f"{self.queue}:probe"

    @property
    def housekeeping(self) -> str:
        """When the first message of each task was sent that no worker has taken in time, by the clock of Redis."""
        return f"{self.queue}:housekeeping"

    @property
    def clocks(self) -> str:
        """How far the clock of each host is ahead of that of Redis."""
        return f"{self.queue}:clocks"

    @property
    def celery(self) -> dict[str, Any]:
        """Celery's settings: broadcasts to workers, and messages that they hold, use these names, too."""
        return {
            "task_default_queue": self.queue,
            "control_exchange": f"{self.queue}:control",
            "event_exchange": f"{self.queue}:events",
        }

    @property
    def transport(self) -> dict[str, str]:
        """Options of kombu's transport: its lists of messages that a worker holds."""
        names = ("unacked", "unacked_index", "unacked_mutex")
        return {f"{name}_key": f"{self.queue}:{name}" for name in names}


@cache
def read_names() -> RedisNames:
    """Return the names of this installation; the database is asked once in each process. Raises DatabaseError."""
    return RedisNames(Lease.objects.get_or_create(pk=1)[0].installation)


def use_names(app: Any) -> None:
    """Have a Celery application use the names of this installation, before it connects. Raises DatabaseError."""
    names = read_names()
    options = {**app.conf.broker_transport_options, **names.transport}
    app.conf.update(**names.celery, broker_transport_options=options)
    # Where something has asked before which queues there are
    for name in ("queues", "router"):
        vars(app.amqp).pop(name, None)
