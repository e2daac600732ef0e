"""One program, kept running."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from butler.processes.console import Console
from butler.processes.lines import LineReader

#: How many of its last lines are shown again when a program has died
LAST_LINES = 8
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
#: Who ran for this long died of something new
SOUND_AFTER_SECONDS = 60.0

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. `quiet` are words by which to know lines that nobody needs to see; `files` it finds open."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    quiet: Sequence[str] = ()
    files: Sequence[int] = ()


class BackOff:
    """The pause before the next start: a second, doubled each time, half a minute at most."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_SECONDS

    def pause_after(self, seconds_run: float) -> float:
        """Return the seconds to wait after a run that lasted `seconds_run`."""
        if seconds_run >= SOUND_AFTER_SECONDS:
            self._next = FIRST_PAUSE_SECONDS
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE_SECONDS)
        return pause


class Child:
    """A program that is started, and again, after a pause, whenever it ends before it is told to.

    It leads a process group of its own: a Ctrl-C in the terminal does not reach it, and all that it starts can be
    ended with it. The files in `held` stay open in it. `task` ends when it was stopped and nothing of it is left.
    """

    def __init__(self, program: Program, *, console: Console, held: Sequence[int] = ()) -> None:
        self.program = program
        self.pid: int | None = None
        self._console = console
        self._held = held
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._stopping = asyncio.Event()
        self.task = asyncio.create_task(self._keep_running())

    async def stop(self, *, by: float) -> None:
        """Ask the program to end; kill what still runs at `by`, in the event loop's time."""
        self._stopping.set()
        self._terminate()
        seconds = by - asyncio.get_running_loop().time()
        _, running = await asyncio.wait([self.task], timeout=max(seconds, 0.0))
        if running:
            self._console.say(f"{self.program.name} did not stop in time and is killed")
            self.kill()
            await asyncio.wait([self.task])

    def kill(self) -> None:
        """End the program and all that it started, at once and for good."""
        self._stopping.set()
        if self.pid is not None:
            _kill_group(self.pid)

    async def _keep_running(self) -> None:
        clock = asyncio.get_running_loop().time
        back_off = BackOff()
        while not self._stopping.is_set():
            started = clock()
            end = await self._run()
            if not self._stopping.is_set():
                pause = back_off.pause_after(clock() - started)
                self._announce(f"{self.program.name} {end}; it starts again in {pause:.0f} s")
                await self._pause(pause)

    async def _run(self) -> str:
        """Run the program once and return in words how it ended."""
        read_end, write_end = os.pipe()
        try:
            process = await self._start(write_end)
        except OSError as error:
            os.close(read_end)
            return f"cannot be started ({error})"
        finally:
            os.close(write_end)
        self.pid = process.pid
        if self._stopping.is_set():
            self._terminate()
        reader = LineReader(read_end, self._take_line)
        code = await process.wait()
        _kill_group(process.pid)
        self.pid = None
        reader.close()
        return describe_end(code)

    async def _start(self, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.program.command,
            cwd=self.program.folder,
            env=dict(self.program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(*self._held, *self.program.files),
            preexec_fn=partial(_end_with_parent, os.getpid()) if sys.platform == "linux" else None,
        )

    def _terminate(self) -> None:
        # Only the leader: gunicorn's master ends its workers in order by itself
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _take_line(self, line: str) -> None:
        self._last_lines.append(line)
        if line.strip() and not any(words in line for words in self.program.quiet):
            self._console.show(self.program.name, line)

    def _announce(self, news: str) -> None:
        self._console.say(f"{news}. Its last lines:" if self._last_lines else f"{news}. It wrote nothing.")
        for line in self._last_lines:
            self._console.say(f"    {line}")
        self._last_lines.clear()


def describe_end(code: int) -> str:
    """Return in words how a process with this return code ended; a negative code is a signal's number."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _kill_group(leader: int) -> None:
    # PermissionError is macOS's answer for a group in which everybody is dead already
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _end_with_parent(parent: int) -> None:
    """Have Linux send this process a SIGTERM when its parent is gone, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
