"""Scenarios 16 and 17: SQLite's disk. It loses what was not synced, and it is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.databases import Database, SqliteDatabase
from tests.chaos.measuring import tally_site, warm_up
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Site
from tests.chaos.terms import Terms
from tests.chaos.workshop import Workshop
from tests.waiting import wait_for

SYNCED_FOLDER = Path(__file__).parent / "synced"
#: A run whose worker was lost is asked about, and tried again where QRS knows nothing of it
SETTLE_SECONDS = 90
#: The small disk of the second scenario
DISK_MB = 8


def cut_power(terms: Terms) -> Iterator[Line]:
    """Power is cut: the files are as of the last sync that the service asked for, and nothing is started twice."""
    if terms.database != "sqlite":
        yield Line("power cut", absent="of PostgreSQL's own files its server takes care")
        return
    rounds = terms.rounds(short=2, full=20)
    settings = {"PYTHONPATH": str(SYNCED_FOLDER), "CHAOS_SYNCED": "1", "CHAOS_HOUSEKEEPING_SECONDS": "1"}
    with Site(terms.workshop, random=terms.make_random("power cut"), **settings) as site:
        site.create([EVERY_SECOND] * 10)
        beat, worker = site.start_beat(), site.start_worker()
        begin = warm_up(site)
        for _ in range(rounds):
            # Runs of the second that begins then are claimed, or out, or answered
            now = time.time()
            time.sleep(int(now) + 2 - now + site.random.uniform(0, 0.4))
            for program in (beat, worker):
                program.kill()
            _lose_what_was_not_synced(site)
            worker.start()
            beat.start()
            site.wait_until_on_time(seconds=SETTLE_SECONDS)
        end = site.settle(seconds=SETTLE_SECONDS)
        tally = tally_site(site, begin=begin, end=end)
    yield judge(f"power cut {rounds} times", tally, failures=site.complaints)


def _lose_what_was_not_synced(site: Site) -> None:
    """Put SQLite's files as they were synced last in the place of those that there are, and start Redis anew.

    Nobody may read the database before: SQLite writes its log into the file when the last connection is closed.
    """
    assert isinstance(site.database, SqliteDatabase)
    file, kept = site.database.file, site.database.file.parent / "synced"
    log = file.parent / f"{file.name}-wal"
    site.redis.stop()
    site.clerk.close()
    (file.parent / f"{file.name}-shm").unlink(missing_ok=True)
    log.unlink()
    # Where nothing was ever synced there is the file itself, as of the last checkpoint
    if (kept / "last").exists():
        for copy in (kept / (kept / "last").read_text()).iterdir():
            shutil.copy(copy, file.parent)
    site.restart_clerk()
    site.redis.start()


class SmallWorkshop:
    """A workshop whose SQLite databases are each on a small disk of their own."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disks: list[Path] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._workshop, name)

    def make_database(self, _kind: str, *, folder: Path) -> Database:
        """Return a new database on a new disk; raises CalledProcessError where this user may not make one."""
        disk = folder / "disk"
        disk.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True, capture_output=True
        )
        self._disks.append(disk)
        made = self._workshop.make_database("sqlite", folder=folder)
        assert isinstance(made, SqliteDatabase)
        return SqliteDatabase(Path(shutil.move(made.file, disk)))

    def drop_database(self, _database: Database) -> None:
        """Take the disks away."""
        for disk in self._disks:
            subprocess.run(["umount", "--lazy", disk], check=True)


def fill_disk(terms: Terms) -> Iterator[Line]:
    """SQLite's disk is full for some seconds: it is said, ridden out, and nothing is lost or started twice."""
    if terms.database != "sqlite":
        yield Line("disk full", absent="a PostgreSQL server that has no room stops by itself")
        return
    workshop = SmallWorkshop(terms.workshop)
    rounds = terms.rounds(short=1, full=6)
    try:
        site = Site(workshop, random=terms.make_random("disk full"), CHAOS_HOUSEKEEPING_SECONDS="1")  # type: ignore[arg-type]
    except (subprocess.CalledProcessError, OSError) as error:
        yield Line("disk full", absent=f"this user cannot make a small disk: {error}")
        return
    with site:
        site.create([EVERY_SECOND] * 10)
        site.start_worker()
        beat = site.start_beat()
        begin = warm_up(site)
        for number in range(1, rounds + 1):
            time.sleep(site.random.random())
            with _full(site):
                beat.wait_until_says("the database does not answer", times=number)
                time.sleep(site.random.uniform(2, 4))
            site.wait_until_on_time(seconds=SETTLE_SECONDS)
        end = site.settle(seconds=SETTLE_SECONDS)
        dead = [program.name for program in site.programs if not program.is_running]
        tally = tally_site(site, begin=begin, end=end)
    failures = [*site.complaints, *(f"{name} has crashed" for name in dead)]
    yield judge(f"disk full {rounds} times", tally, failures=failures)


@contextmanager
def _full(site: Site) -> Iterator[None]:
    """Fill the disk with a file, and what is freed meanwhile as well."""
    assert isinstance(site.database, SqliteDatabase)
    ballast = site.database.file.parent / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            wait_for(lambda: not _fill(file.fileno()), seconds=5, what="a full disk")
        yield
    finally:
        ballast.unlink()


def _fill(descriptor: int) -> int:
    """Write until there is no room for a byte; return how many found room."""
    written = 0
    for size in (65_536, 4096, 1):
        try:
            while True:
                written += os.write(descriptor, b"\0" * size)
        except OSError:
            continue
    return written
