"""The commands in the simulator's documentation do what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlik.simulator.__main__ import make_parser
from qlik.simulator.controls import HANDLERS
from qlik.simulator.faults import FaultKind
from qlik.simulator.proxy import ProxySettings
from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.values import READERS

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "simulator.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    for command in re.split(r"\n(?=curl|python)", block.strip())
]


@pytest.fixture
def simulator(certificate_folder: Path) -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(certificates=certificate_folder, proxy=ProxySettings())) as running:
        yield running


def test_the_first_command_starts_it() -> None:
    words = COMMANDS[0].split()
    assert words[:3] == ["python", "-m", "qlik.simulator"]
    assert make_parser().parse_args(words[3:]).port == 4242


@pytest.mark.skipif(not shutil.which("curl"), reason="the examples are for curl")
@pytest.mark.parametrize("command", COMMANDS[1:])
def test_the_examples_are_understood(simulator: Simulator, command: str) -> None:
    for documented, real in (
        ("https://127.0.0.1:4242", simulator.url),
        ("https://127.0.0.1:4443", simulator.proxy_url),
        ("http://127.0.0.1:4243", simulator.control_url),
        ("data/certificates", str(simulator.certificates)),
    ):
        command = command.replace(documented, real)
    failing = command.replace("curl -s", "curl -sf")
    answer = subprocess.run(["/bin/sh", "-c", failing], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(("{", "["))
    assert "error" not in answer.stdout


def test_every_option_control_key_and_fault_is_documented() -> None:
    options = [option for action in make_parser()._actions for option in action.option_strings]
    assert [option for option in options if f"`{option}" not in TEXT] == ["-h", "--help"]
    assert [path for _, path in HANDLERS if f"127.0.0.1:4243{path}" not in TEXT] == []
    assert [kind for kind in FaultKind if f"| `{kind}` |" not in TEXT] == []
    assert [key for key in READERS if f'"{key}"' not in TEXT and f"`{key}`" not in TEXT] == []
