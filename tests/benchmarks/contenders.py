"""The schedulers that are compared: the service, stock django-celery-beat and RedBeat, prepared and started alike.

Each has the schedules of the kind that costs it least. The service has cron expressions. The peers have daily
intervals, which they compute faster than crontabs, with the last run set so that all are due at the wanted second;
so stock also has all its schedules loaded, where it would leave away crontabs of distant hours.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Protocol

from tests.benchmarks.database import EVERY_SECOND, ServiceDatabase
from tests.benchmarks.process import Process
from tests.benchmarks.reader import Arrivals, Check, read_run_ids
from tests.benchmarks.stage import Stage, compose_command, stock_settings

LONG_AGO = "2026-01-01 00:00:00"
WATCHED = [sys.executable, "-m", "tests.benchmarks.watched_beat"]


class Contender(Protocol):
    """A scheduler with its schedules, ready to be started."""

    def make_due(self, *dues: int) -> None:
        """Make all schedules due at these seconds since 1970, all of one minute; the peers' at one second only."""

    def make_one_due(self) -> None:
        """Make one schedule due at once, so that a beat which starts has something to send."""

    def start_beat(self, *, watched: bool = False, changes: bool = False) -> Process:
        """Start its beat; a watched one counts queries, and on demand notes when it takes changes."""

    def count_runs(self, message: bytes) -> int:
        """Return for how many runs a message is."""

    #: Gives a function that tells whether a message's run is in the ledger; None without a ledger
    check_rows: Check | None


class Service:
    """The service with so many started schedules, none due soon."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.folder = stage.new_folder()
        self._stage = stage
        self.settings = {"BUTLER_DATA_DIR": str(self.folder)}
        self.database = ServiceDatabase.copy(stage.template("ours", number), self.folder / "butler.sqlite3")
        self.check_rows: Check | None = self.database.check_rows

    def make_due(self, *dues: int) -> None:
        """Make all schedules due at these seconds of every day, as nightly schedules are."""
        moment = datetime.fromtimestamp(dues[0], UTC)
        seconds = ",".join(str(due % 60) for due in dues)
        self.database.set_cron(f"{seconds} {moment.minute} {moment.hour} * * *")

    def make_one_due(self) -> None:
        self.make_due_every_second(first=1)

    def make_due_every_second(self, *, first: int | None = None) -> None:
        """Make all schedules, or the first ones, due at every second."""
        self.database.set_cron(EVERY_SECOND, first=first)

    def start(self, name: str, command: list[str], **extra: str) -> Process:
        """Start one of its programs."""
        environment = self._stage.environment({**self.settings, **extra})
        return Process(command, environment=environment, log=self.folder / f"{name}.log")

    def start_beat(self, *, watched: bool = False, changes: bool = False) -> Process:
        command = compose_command("beat")
        if watched:
            command = WATCHED + command[3:]
        extra = {"BENCH_WATCH_FILE": str(self.folder / "watch.json")} if watched else {}
        return self.start("beat", command, **extra, **({"BENCH_WATCH_CHANGES": "ours"} if changes else {}))

    def count_runs(self, message: bytes) -> int:
        return len(read_run_ids(message))

    def read_lateness(self, arrivals: Arrivals) -> Iterator[tuple[float, float]]:
        """Yield for each run when it was due, in seconds since 1970, and how many seconds later its message came."""
        due_by_run = self.database.read_due()
        for at_ns, messages in arrivals:
            for run_id in chain.from_iterable(map(read_run_ids, messages)):
                yield due_by_run[run_id], at_ns / 1e9 - due_by_run[run_id]


class Peer:
    """What the peers have in common: a message for each run, and no ledger."""

    check_rows: Check | None = None

    def count_runs(self, message: bytes) -> int:
        return 1


class Stock(Peer):
    """Stock django-celery-beat with so many periodic tasks."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.folder = stage.new_folder()
        self._stage = stage
        self.settings = stock_settings(self.folder)
        ServiceDatabase.copy(stage.template("stock", number), self.folder / "stock.sqlite3")

    def make_due(self, *dues: int) -> None:
        last = datetime.fromtimestamp(dues[0], UTC) - timedelta(days=1)
        self._write("UPDATE django_celery_beat_periodictask SET last_run_at = ?", f"{last:%Y-%m-%d %H:%M:%S}")

    def make_one_due(self) -> None:
        statement = "UPDATE django_celery_beat_periodictask SET last_run_at = ? WHERE name = 'bench-0'"
        self._write(statement, LONG_AGO)

    def edit(self) -> None:
        """Note a change as saving a periodic task does; beat reads all of them again, whatever was changed."""
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        self._write("UPDATE django_celery_beat_periodictasks SET last_update = ?", now)

    def start_beat(self, *, watched: bool = False, changes: bool = False) -> Process:
        extra = {"BENCH_WATCH_FILE": str(self.folder / "watch.json")} if watched else {}
        extra |= {"BENCH_WATCH_CHANGES": "stock"} if changes else {}
        environment = self._stage.environment({**self.settings, **extra})
        command = ["--skip-checks", "-A", "tests.benchmarks.peer_apps:stock", "beat", "--pidfile="]
        module = WATCHED if watched else [sys.executable, "-m", "celery"]
        return Process(module + command, environment=environment, log=self.folder / "beat.log")

    def _write(self, statement: str, value: str) -> None:
        with closing(sqlite3.connect(self.folder / "stock.sqlite3")) as connection, connection:
            connection.execute(statement, (value,))


class RedBeat(Peer):
    """RedBeat with so many entries, all in the Redis server of the stage."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.folder = stage.new_folder()
        self._stage, self._number = stage, number

    def make_due(self, *dues: int) -> None:
        with self._stage.client() as client:
            client.flushall()
        self._stage.fill("redbeat", self._number, dues[0], settings={})

    def make_one_due(self) -> None:
        with self._stage.client() as client:
            client.delete("redbeat:bench-0")
        self._stage.fill("redbeat", 1, int(datetime.fromisoformat(LONG_AGO).timestamp()), settings={})

    def start_beat(self, *, watched: bool = False, changes: bool = False) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.peer_apps:redbeat", "beat", "--pidfile="]
        return Process(command, environment=self._stage.environment({}), log=self.folder / "beat.log")


CONTENDERS: dict[str, Callable[[Stage, int], Contender]] = {"ours": Service, "stock": Stock, "redbeat": RedBeat}
