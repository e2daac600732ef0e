"""Copies of the tree in which mutants are tried, one at a time in each."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.mutants.choice import LOCK_TESTS, WITH_LOCKS, list_tests, name_tests
from tests.mutants.finding import ROOT
from tests.mutants.mutant import Mutant

#: A test that takes longer has met a mutant that hangs
TEST_SECONDS = 40
#: ... and so have those of a module together
MODULE_SECONDS = 900
#: How a verdict of tests on PostgreSQL ends
ON_POSTGRES = " (PostgreSQL)"


class TestsFailError(Exception):
    """The tests fail without any mutant."""


class BrokenOffError(Exception):
    """The tests were ended before they had said anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant: by which test it was noticed, `time-out` where it hung, nothing where it was not."""

    mutant: Mutant
    killer: str

    @property
    def is_killed(self) -> bool:
        """Whether a test noticed."""
        return bool(self.killer)


class Copy:
    """A copy of the tree, for one mutant at a time."""

    def __init__(self, folder: Path, *, postgres_url: str) -> None:
        """Take the address of a PostgreSQL server with this copy's own database, or nothing."""
        self._folder = folder
        self._postgres_url = postgres_url
        self._sources: dict[str, bytes] = {}
        self._written_at = int(time.time())
        self._process: subprocess.Popen[bytes] | None = None
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True)
        for name in listed.stdout.decode().splitlines():
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self._template = folder / "migrated.sqlite3"
        self._migrate()

    def confirm(self, verdicts: Iterable[Verdict]) -> None:
        """Run the tests that have noticed mutants on the code as it is; raises TestsFailError."""
        noticed: dict[str, dict[str, None]] = {}
        for verdict in verdicts:
            test = verdict.killer.removesuffix(ON_POSTGRES)
            if "::" in test:
                noticed.setdefault(self._postgres_url if ON_POSTGRES in verdict.killer else "", {})[test] = None
        for database, tests in noticed.items():
            # Once more, for a machine that is busy may fail a test that measures time
            if self._run_tests(list(tests), database) and (killer := self._run_tests(list(tests), database)):
                raise TestsFailError(f"{killer} fails without any mutant")

    def try_mutant(self, mutant: Mutant) -> Verdict:
        """Return whether the tests of its module notice a mutant, on all databases that concern it."""
        source = self._sources.setdefault(mutant.module, (self._folder / mutant.module).read_bytes())
        for database, tests in self._list_suites(mutant):
            self._write(mutant.module, mutant.apply(source))
            try:
                killer = self._run_tests(tests, database)
            finally:
                self._write(mutant.module, source)
            if killer:
                return Verdict(mutant, f"{killer}{ON_POSTGRES if database else ''}")
        return Verdict(mutant, "")

    def _list_suites(self, mutant: Mutant) -> list[tuple[str, list[str]]]:
        """Return the databases and tests that a mutant meets, one after the other."""
        tests = list_tests(mutant.module)
        if not (mutant.module in WITH_LOCKS and mutant.concerns_locks and self._postgres_url):
            return [("", tests)]
        if not mutant.is_of_lock:
            return [("", tests), (self._postgres_url, tests)]
        # Nearly all of them are noticed by these, which would come last among others: they need real transactions
        return [(self._postgres_url, name_tests(LOCK_TESTS)), (self._postgres_url, tests), ("", tests)]

    def close(self) -> None:
        """End the tests that are under way, for somebody has lost patience."""
        if self._process:
            end_group(self._process)

    def _migrate(self) -> None:
        address = f"sqlite:///{self._template}"
        command = [sys.executable, "-m", "django", "migrate", "--settings=tests.settings", "--verbosity=0"]
        subprocess.run(command, cwd=self._folder, env=self._environment(address), check=True, timeout=300)

    def _environment(self, database: str) -> dict[str, str]:
        template = str(self._template)
        return {**os.environ, "DATABASE_URL": database, "MUTANTS_DATABASE": template, "PYTHONPATH": ""}

    def _write(self, module: str, source: bytes) -> None:
        # Python looks at the second in which a module was written to know whether what it has compiled is old
        self._written_at += 1
        (self._folder / module).write_bytes(source)
        os.utime(self._folder / module, (self._written_at, self._written_at))

    def _run_tests(self, tests: Sequence[str], database: str) -> str:
        """Return the first test that fails, `time-out`, or nothing. Raises BrokenOffError."""
        # In the order of the table, for those that know the module best are quick to notice
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header", "--tb=no"]
        options += [] if database else ["--ds=tests.mutants.settings", "--reuse-db"]
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, f"--timeout={TEST_SECONDS}", *tests],
            cwd=self._folder,
            env=self._environment(database),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=MODULE_SECONDS)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return "time-out"
        finally:
            end_group(process)
        if process.returncode == 0:
            return ""
        if process.returncode < 0:
            # By somebody who broke the run off, which says nothing of the mutant
            raise BrokenOffError(f"the tests were ended by signal {-process.returncode}")
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
        return failed[1] if failed else "time-out" if "Timeout" in output else "import"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing running of what the tests of a mutant have begun."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Workshop:
    """A folder with as many copies as mutants are tried at a time."""

    def __init__(self, count: int, *, postgres_urls: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="butler-mutants-"))
        urls = postgres_urls or [""] * count
        self.copies = [
            Copy(self._folder / f"copy-{number}", postgres_url=url) for number, url in enumerate(urls[:count])
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
