"""A process under measurement: started, watched from outside through /proc, and surely ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
_SAMPLE_SECONDS = 0.01
_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A running program. As a context manager it is gone in the end; its output is in `log`."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._watch_file = Path(environment.get("BENCH_WATCH_FILE", ""))
        with log.open("wb") as output:
            self.started_ns = time.time_ns()
            self._popen = subprocess.Popen(
                command, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and make it end where it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def wait(self, *, seconds: float) -> None:
        """Wait until it has ended by itself; raises RuntimeError with what it said where it has failed."""
        if self._popen.wait(timeout=seconds):
            raise RuntimeError(f"a process has failed:\n{self.log.read_text(errors='replace')[-2000:]}")

    def check(self) -> None:
        """Raise RuntimeError with what it said last when it has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"a process has ended that should run:\n{self.log.read_text(errors='replace')[-2000:]}")

    def wait_for_words(self, words: str, *, seconds: float = 30) -> None:
        """Wait until its output has these words."""
        wait_for(lambda: self.check() or words in self.log.read_text(errors="replace"), seconds=seconds, what=words)

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used, in user and system mode."""
        fields = self._read_stat()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_bytes(self) -> int:
        """Return the memory that it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_quiet(self, *, seconds: float = 0.5) -> bool:
        """Return whether it sleeps for four fifths of the next `seconds`.

        A process that waits for a processor, which other work has, does not sleep, though it uses none.
        """
        self.check()
        until = time.monotonic() + seconds
        awake = []
        while time.monotonic() < until:
            awake.append(self._read_stat()[0] != "S")
            time.sleep(_SAMPLE_SECONDS)
        return sum(awake) <= len(awake) / 5

    def watch(self) -> dict[str, Any]:
        """Ask a watched beat for what it has counted since it started; see watched_beat.py."""
        self._watch_file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        wait_for(self._watch_file.exists, seconds=10, what="the counts of beat")
        counts: dict[str, Any] = json.loads(self._watch_file.read_text())
        return counts

    def _read_stat(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
