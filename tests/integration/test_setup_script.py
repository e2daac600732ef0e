"""scripts/setup with stand-ins for Python and uv on PATH: what it asks of them, and when."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cmp", "cp", "rm", "mkdir", "cat", "chmod", "dirname")

#: A Python of the given age that makes environments with a copy of itself
PYTHON = """#!/bin/sh
echo "${{0##*/}} $*" >> "$LOG"
case "$*" in
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {without_venv} ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >> "$LOG"
case "$1" in venv) mkdir -p .venv/bin && cp "$BIN/python3" .venv/bin/python ;; esac
"""


class Machine:
    """A clone of the project on a machine that has only what a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "c++ R#1 %20 å $HOME 'q' a?b"
        self._bin = folder / "bin"
        self._log = folder / "log"
        self._bin.mkdir()
        shutil.copytree(ROOT / "scripts", self.clone / "scripts")
        (self.clone / "requirements").mkdir()
        for name in ("base", "dev", "bench"):
            (self.clone / f"requirements/{name}.txt").write_text(f"{name} 1\n")
        for tool in TOOLS:
            (self._bin / tool).symlink_to(str(shutil.which(tool)))

    def has(self, name: str, *, too_old: int = 0, without_venv: int = 0) -> None:
        program = UV if name == "uv" else PYTHON.format(too_old=too_old, without_venv=without_venv)
        (self._bin / name).write_text(program)
        (self._bin / name).chmod(0o755)

    def lacks(self, name: str) -> None:
        (self._bin / name).unlink()

    def setup(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self._log.write_text("")
        return subprocess.run(
            ["sh", "scripts/setup", name],
            cwd=self.clone,
            env={"PATH": str(self._bin), "BIN": str(self._bin), "LOG": str(self._log), **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def asked(self, words: str) -> list[str]:
        """Return the commands with these words, in order."""
        return [line for line in self._log.read_text().splitlines() if words in line]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_it_installs_what_is_pinned_and_checks_the_hashes(machine):
    machine.has("python3.12")
    answer = machine.setup("base")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "Installing the Python packages of requirements/base.txt into .venv ...\n"
    assert machine.asked("install") == [
        "python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/base.txt"
    ]


def test_it_installs_only_what_has_changed(machine):
    machine.has("python3")
    machine.setup("base")
    answer = machine.setup("base")
    assert (answer.returncode, answer.stdout, machine.asked("install")) == (0, "", [])
    (machine.clone / "requirements/base.txt").write_text("base 2\n")
    machine.setup("base")
    assert len(machine.asked("install")) == 1
    assert machine.asked("venv") == []


def test_a_failed_installation_is_tried_again(machine):
    machine.has("python3")
    (machine.clone / "requirements/base.txt").unlink()
    assert machine.setup("base").returncode != 0
    (machine.clone / "requirements/base.txt").write_text("base 1\n")
    machine.setup("base")
    assert len(machine.asked("install")) == 1


def test_who_has_the_tools_to_work_on_it_has_what_it_needs_to_run(machine):
    machine.has("python3")
    machine.setup("dev")
    machine.setup("base")
    assert machine.asked("install") == []
    machine.setup("bench")
    assert len(machine.asked("install")) == 1
    machine.setup("dev")
    assert machine.asked("install") == []


def test_it_takes_the_newest_python_that_is_new_enough(machine):
    machine.has("python3", too_old=1)
    machine.has("python3.11")
    machine.has("python3.12")
    machine.setup("base")
    assert machine.asked("-m venv") == ["python3.12 -m venv .venv"]


def test_a_python_can_be_named(machine):
    machine.has("python3.12")
    machine.has("mine")
    machine.setup("base", PYTHON="mine")
    assert machine.asked("-m venv") == ["mine -m venv .venv"]


@pytest.mark.parametrize("environment", [{}, {"PYTHON": "python3"}], ids=["found", "named"])
def test_a_python_that_is_too_old_is_refused(machine, environment):
    machine.has("python3", too_old=1)
    answer = machine.setup("base", **environment)
    assert answer.returncode == 1
    assert "Butler needs Python 3.11 or newer" in answer.stderr
    assert "apt install python3 python3-venv" in answer.stderr


def test_a_python_without_venv_is_refused_with_the_package_to_install(machine):
    machine.has("python3", without_venv=1)
    answer = machine.setup("base")
    assert answer.returncode == 1
    assert "python3 cannot make virtual environments" in answer.stderr
    assert "apt install python3-venv" in answer.stderr


def test_uv_is_used_where_there_is_one_and_compiles(machine):
    machine.has("python3")
    machine.has("uv")
    machine.setup("base")
    assert machine.asked("uv ") == [
        "uv venv --quiet --python >=3.11 .venv",
        "uv pip install --quiet --python .venv/bin/python --compile-bytecode --require-hashes -r requirements/base.txt",
    ]


def test_an_environment_of_uv_is_made_anew_where_uv_is_gone(machine):
    """It has no pip."""
    machine.has("python3")
    machine.has("uv")
    machine.setup("base")
    (machine.clone / ".venv/bin/python").write_text('#!/bin/sh\ncase "$*" in *pip*) exit 1 ;; esac\n')
    machine.lacks("uv")
    (machine.clone / "requirements/base.txt").write_text("base 2\n")
    machine.setup("base")
    assert machine.asked("-m venv") == ["python3 -m venv .venv"]


def test_an_environment_whose_python_is_gone_is_made_anew(machine):
    machine.has("python3")
    machine.setup("base")
    (machine.clone / ".venv/bin/python").unlink()
    answer = machine.setup("base")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert machine.asked("-m venv") == ["python3 -m venv .venv"]


def test_modules_are_compiled_whatever_the_environment_says(machine):
    machine.has("python3")
    python = machine.clone.parent / "bin/python3"
    python.write_text(python.read_text() + 'echo "bytecode ${PYTHONDONTWRITEBYTECODE-wanted}" >> "$LOG"\n')
    machine.setup("base", PYTHONDONTWRITEBYTECODE="1")
    assert set(machine.asked("bytecode")) == {"bytecode wanted"}


def test_make_lists_what_there_is_to_do():
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    names = [line.split()[1] for line in shown.stdout.splitlines()]
    assert names == ["help", "run", "test", "lint", "bench", "chaos", "mutants", "lock", "clean"]
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_this_python_would_do():
    assert sys.version_info >= (3, 11)
    assert os.access(ROOT / "scripts/setup", os.X_OK)


def test_a_reader_that_has_seen_enough_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "manage.py", "help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    command.stdout.close()

    assert "Traceback" not in command.stderr.read()
    command.stderr.close()
    assert command.wait(20) == 1
