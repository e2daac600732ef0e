"""The command line as a person has it, in processes of their own: odd terminals, odd arguments, no room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = """butlerSchedule:
  - {id: åäö, name: 'Försäljning 日本 😀', cronSchedule: '0 6 1 3 *', timezone: Europe/Stockholm,
     qlikSenseTaskId: 0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b, startupState: started, tags: [Sålt]}
"""
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
READING = (["list"], ["show", "åäö"], ["forecast"])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of commands with a database of their own, in which is one schedule."""
    folder = tmp_path_factory.mktemp("commands")
    made = {**os.environ, "BUTLER_DATA_DIR": str(folder), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": ""}
    del made["DJANGO_SETTINGS_MODULE"]
    (folder / "file.yaml").write_text(FILE, encoding="utf-8")
    assert manage(["migrate", "--verbosity", "0"], made).returncode == 0
    told = manage(["schedules", "import", str(folder / "file.yaml")], made)
    assert told.returncode == 0, told.stderr
    return made


def manage(arguments: list[str | bytes], environment: dict[str, str], **options: object) -> subprocess.CompletedProcess:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60} | options
    return subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, **given)


@pytest.mark.parametrize("terminal", [ASCII, C_LOCALE], ids=["ascii", "C"])
@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_terminal_that_does_not_know_a_character_gets_its_code(environment, arguments, terminal):
    told = manage(["schedules", *arguments], environment | terminal)

    assert (told.returncode, told.stderr) == (0, b"")


@pytest.mark.parametrize("terminal", [ASCII, C_LOCALE], ids=["ascii", "C"])
def test_an_export_is_utf8_whatever_the_terminal(environment, terminal):
    told = manage(["schedules", "export"], environment | terminal)

    assert "Försäljning 日本 😀" in told.stdout.decode("utf-8")


def test_a_dry_run_and_its_warnings_are_shown_on_an_ascii_terminal(environment):
    file = f"{environment['BUTLER_DATA_DIR']}/file.yaml"

    told = manage(["schedules", "import", file, "--dry-run"], environment | ASCII)

    assert told.returncode == 0, told.stderr
    assert b"F\\xf6rs\\xe4ljning" in told.stdout
    assert b"Months count from 1" in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", b"\xff"],
        ["show", b"ok\xe5"],
        ["pause", "x", "--until", b"\xff"],
        ["maintenance", "begin", "--reason", b"\xff"],
        ["alerts", "--test", b"\xff"],
        ["import", b"/nowhere/\xff.yaml"],
        ["export", b"/nowhere/\xff.yaml"],
        [b"\xff"],
    ],
    ids=repr,
)
def test_an_argument_that_is_not_utf8_is_refused_with_a_sentence(environment, arguments):
    told = manage(["schedules", *arguments], environment)

    assert told.returncode != 0
    assert b"Traceback" not in told.stderr
    assert b"rror: " in told.stderr


def test_a_person_whose_name_is_not_utf8_may_change_schedules(environment):
    told = manage(["schedules", "start", "åäö"], {**environment, "LOGNAME": "\udcff"})

    assert told.returncode == 0
    assert b"Traceback" not in told.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["schedules", "export"], ["help"]], ids=" ".join)
def test_a_full_disk_is_told_in_a_sentence(environment, arguments):
    with Path("/dev/full").open("wb") as full:
        told = manage(arguments, environment, stdout=full)

    assert told.returncode == 1
    assert told.stderr.startswith(b"butler: The output cannot be written: No space left on device."), told.stderr
    assert b"Traceback" not in told.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_export_to_a_full_disk_is_refused(environment):
    told = manage(["schedules", "export", "/dev/full"], environment)

    assert told.returncode == 1
    assert b"/dev/full cannot be written: No space left on device." in told.stderr


@pytest.mark.parametrize("arguments", [["schedules", "list"], ["schedules", "export"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_the_command_without_a_word(environment, arguments):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        told = manage(arguments, environment, stdout=write_end)
    finally:
        os.close(write_end)

    assert (told.returncode, told.stderr) == (1, b"")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_output_is_no_error(environment, closed):
    told = subprocess.run(  # noqa: S602 -- only a shell closes an output
        f'"{sys.executable}" manage.py schedules list {closed}',
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
    )

    assert (told.returncode, told.stderr) == (0, b"")
