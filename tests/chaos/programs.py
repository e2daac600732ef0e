"""Processes that are meant to be killed, frozen and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
#: What a test does not set is empty, whatever the developer's .env says
SETTINGS = tuple(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")

CELERY = ("-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "--skip-checks", "-A", "butler")


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a process of the service: what it needs to run, and these settings alone."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
    blank = dict.fromkeys(SETTINGS, "")
    return {**inherited, **blank, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "tests.chaos.settings", **settings}


class Program:
    """One Python program in a process group of its own; its output goes to a file."""

    def __init__(self, name: str, *arguments: str, settings: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = (sys.executable, *arguments)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, once more perhaps; what it says is added to its file."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill -9, and take note of its end as a supervisor does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, or kill it after ten seconds."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it do nothing more until it is woken; on return the last of its threads stands still."""
        os.killpg(self.pid, signal.SIGSTOP)
        # Where processors are busy it goes on for a while, and may take a lock
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def wake(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)

    @property
    def output(self) -> str:
        """All that it has said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_until_says(self, words: str, *, times: int = 1, seconds: float = 30) -> None:
        """Wait until these words stand in its output, so many times."""
        try:
            wait_for(lambda: self.output.count(words) >= times, seconds=seconds, what=words, pause=0.05)
        except AssertionError as error:
            error.add_note(f"{self.name} said:\n{self.output[-3000:]}")
            raise

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
