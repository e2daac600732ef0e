"""Scenario 14: edits of thousands of schedules at once, and imports that are killed at some moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from uuid import UUID

from tests.chaos.measuring import tally_site, warm_up
from tests.chaos.programs import Program
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, REST, Site
from tests.chaos.terms import Terms

#: From a due instant to the start, at worst: others are silent for a second and a half, and the worker has its part
GAP = 2.5
IMPORT_SECONDS = 120
#: The part of an import's time in which it is killed, the last before it has told of its end
EARLIEST, LATEST = 0.4, 1.0
LOOK_SECONDS = 0.02


def edit_masses(terms: Terms) -> Iterator[Line]:
    """Thousands are imported, stopped and started while others are due each second; imports are killed."""
    number, busy = (300, 20) if terms.is_short else (5000, 50)
    rounds = terms.rounds(short=3, full=12)
    random = terms.make_random("edit masses")
    with Site(terms.workshop, database=terms.database, random=random) as site:
        site.create([EVERY_SECOND] * busy)
        site.start_worker()
        site.start_beat()
        begin = warm_up(site)
        mass = Mass(site, number, random=random)
        seconds = mass.import_whole()
        for _ in range(rounds):
            mass.import_and_kill(after=random.uniform(EARLIEST, LATEST) * seconds)
            mass.switch()
        mass.import_whole()
        end = site.settle()
        tally = tally_site(site, begin=begin, end=end)
    yield judge(
        f"{number:,} at once, {rounds} kills",
        tally,
        gap=GAP * terms.patience,
        failures=[*site.complaints, *mass.failures],
        notes=[
            f"an import took {seconds:.1f} s",
            f"{mass.killed} imports were killed before they had told of their end, {mass.undone} of them left nothing",
            f"looked {mass.looks:,} times for a part of an import",
        ],
    )


class Mass:
    """Many schedules that are imported, edited, stopped and started together; each import is a generation."""

    def __init__(self, site: Site, number: int, *, random: Random) -> None:
        self.failures: list[str] = []
        self.killed = self.undone = self.looks = 0
        self._site = site
        self._number = number
        self._task_id = str(UUID(int=random.getrandbits(128), version=4))
        self._file = site.folder / "mass.yaml"
        self._generation = self._whole = self._changes = 0

    def import_whole(self) -> float:
        """Import another generation, and return the seconds that it took."""
        began = time.monotonic()
        program = self._start_import()
        self._watch(program, seconds=IMPORT_SECONDS)
        if "Imported:" not in program.output:
            self.failures.append(f"an import failed: {program.output[-200:]}")
        self._expect(self._generation)
        return time.monotonic() - began

    def import_and_kill(self, *, after: float) -> None:
        """Import another generation, and kill the process after so many seconds."""
        program = self._start_import()
        self._watch(program, seconds=after)
        self.killed += program.is_running
        program.kill()
        is_done = self._look() == self._generation
        self.undone += not is_done
        self._expect(self._generation if is_done else self._whole)

    def switch(self) -> None:
        """Stop and start all of them."""
        if self._whole:
            names = [f"mass-{i}" for i in range(self._number)]
            for function in ("stop", "start"):
                self._site.clerk.ask(function, names)
                self._changes += self._number
        self._expect(self._whole)

    def _start_import(self) -> Program:
        self._generation += 1
        lines = ["butlerSchedule:"]
        for i in range(self._number):
            lines += [
                f"  - name: '{self._generation}'",
                f"    cronSchedule: '{REST}'",
                f"    timezone: {('UTC', 'Asia/Tokyo')[(self._generation + i) % 2]}",
                f"    qlikSenseTaskId: {self._task_id}",
                "    startupState: started",
                f"    id: mass-{i}",
            ]
        self._file.write_text("\n".join([*lines, ""]))
        return self._site.start_command("import", str(self._file), "--replace", "--months", "1-12")

    def _watch(self, program: Program, *, seconds: float) -> None:
        """Look at the schedules until the process has ended, no longer than so many seconds."""
        until = time.monotonic() + seconds
        while program.is_running and time.monotonic() < until:
            self._look()
            time.sleep(LOOK_SECONDS)

    def _look(self) -> int:
        """Return which generation there is, 0 for none; note where there is a part of one."""
        self.looks += 1
        sql = "SELECT s.title FROM schedules_schedule s JOIN django_celery_beat_periodictask t"
        _, rows = self._site.database.read(f"{sql} ON t.id = s.periodictask_ptr_id WHERE t.name LIKE ?", "mass-%")
        titles = {title for (title,) in rows}
        if len(titles) > 1 or len(rows) not in (0, self._number):
            self.failures.append(f"{len(rows)} of {self._number} schedules, of the generations {sorted(titles)}")
        return int(max(titles, key=int, default="0"))

    def _expect(self, generation: int) -> None:
        """Note where this generation is not there, or not every change of it and of those before is recorded, once."""
        if generation != self._whole:
            self._changes += self._number
        self._whole = generation
        if (found := self._look()) != generation:
            self.failures.append(f"generation {found} is there instead of {generation}")
        _, rows = self._site.database.read(
            "SELECT COUNT(*) FROM schedules_schedulechange WHERE schedule_name LIKE ?", "mass-%"
        )
        if rows[0][0] != self._changes:
            self.failures.append(f"{rows[0][0]} changes are recorded instead of {self._changes}")
