"""The simulator's page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tasks import Task
from tests.acceptance.browser import CHROMIUM, Browser, browsing
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no browser")

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
TASK = Task(id=UUID(int=1), name=HOSTILE, app="an app", reload_seconds=600)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder: Path = tmp_path_factory.getbasetemp() / "simulator certificates"
    with Simulator(SimulatorSettings(certificates=folder, tasks=[TASK])) as running:
        yield running


def text_of(browser: Browser, identity: str) -> str:
    text: str = browser.evaluate(f"document.getElementById('{identity}').innerText")
    return text


def click(browser: Browser, identity: str) -> None:
    browser.evaluate(f"document.getElementById('{identity}').click()")


def test_qrs_is_played_down_and_up_again(browser: Browser, simulator: Simulator) -> None:
    browser.open(simulator.control_url)
    click(browser, "button-down")
    wait_for(lambda: "QRS is down" in text_of(browser, "state"), seconds=10)
    assert simulator.mains.is_down
    click(browser, "button-up")
    wait_for(lambda: "QRS answers" in text_of(browser, "state"), seconds=10)
    assert not simulator.mains.is_down


def test_it_refreshes_itself_and_keeps_the_focus(browser: Browser, simulator: Simulator) -> None:
    browser.open(simulator.control_url)
    start = f"button-start-{TASK.id}"
    browser.evaluate(f"document.getElementById('{start}').focus()")
    simulator.site.start([TASK.id])
    wait_for(lambda: "Started" in text_of(browser, "runs"), seconds=10)
    assert browser.evaluate("document.activeElement.id") == start


def test_a_fault_is_put_together_and_cleared(browser: Browser, simulator: Simulator) -> None:
    browser.open(simulator.control_url)
    browser.evaluate("document.getElementById('choice-fault').value = 'reset-after'")
    browser.evaluate(f"document.getElementById('choice-task_id').value = '{TASK.id}'")
    browser.evaluate("document.getElementById('choice-amount').value = 'three'")
    click(browser, "set-fault")
    wait_for(lambda: "3 left" in text_of(browser, "faults"), seconds=10)
    (fault,) = simulator.faults.current()
    assert (fault.kind, fault.task_id, fault.count) == ("reset", TASK.id, 3)
    assert browser.evaluate("document.getElementById('choice-fault').value") == "reset-after"
    click(browser, "button-clear")
    wait_for(lambda: simulator.faults.current() == [], seconds=10)


def test_a_task_s_name_is_text_and_nothing_else(browser: Browser, simulator: Simulator) -> None:
    browser.open(simulator.control_url)
    simulator.site.start([TASK.id])
    wait_for(lambda: "Started" in text_of(browser, "runs"), seconds=10)
    assert HOSTILE in text_of(browser, "tasks")
    assert HOSTILE in text_of(browser, "runs")
    assert browser.evaluate("document.images.length") == 0
    assert browser.complaints == []


@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_stands_out_of_the_page(browser: Browser, simulator: Simulator, width: int) -> None:
    simulator.site.put_tasks([Task(id=UUID(int=2), name="x" * 500, app="an app")], keep_others=True)
    simulator.site.start([UUID(int=2)])
    browser.open(simulator.control_url, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_it_says_when_the_simulator_has_gone(browser: Browser, simulator: Simulator) -> None:
    browser.open(simulator.control_url)
    simulator.__exit__(None, None, None)
    wait_for(lambda: "does not answer" in text_of(browser, "message"), seconds=10)
