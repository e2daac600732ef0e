"""The simulator's page for people, seen with plain requests; tests/acceptance has it in a browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from uuid import UUID

import pytest
import requests

from qlik.simulator.buttons import AMOUNTS, FAULTS, TIMES
from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tasks import Task
from tests.integration.plain_qrs import DISABLED, FAILING, ORDERS, SALES, UNKNOWN, PlainQrs
from tests.waiting import wait_for


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


def show(simulator: Simulator) -> str:
    answer = requests.get(f"{simulator.control_url}/", timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer.text


def words_of(page: str, identity: str) -> str:
    """Return the text of one part of the page."""
    (part,) = re.findall(rf'<(?:\w+) id="{identity}" data-live="">(.*?)</(?:section|header)>', page, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split())


def press(simulator: Simulator, **form: str) -> requests.Response:
    return requests.post(f"{simulator.control_url}/play", data=form, allow_redirects=False, timeout=5)


def play(simulator: Simulator, **form: str) -> None:
    answer = press(simulator, **form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


# What it shows


def test_it_shows_tasks_runs_and_what_was_asked(simulator: Simulator, qrs: PlainQrs) -> None:
    page = show(simulator)
    assert "QRS answers" in words_of(page, "state")
    assert "Reload Sales overview takes 2 s never run Start Stop Disable" in words_of(page, "tasks")
    assert "Reload Budget 2019 (disabled) takes 2 s Disabled never run Start Stop Enable" in words_of(page, "tasks")
    assert "Reload Web shop (always fails) takes 5 s, fails, 2 retries" in words_of(page, "tasks")
    assert words_of(page, "runs") == "Under way 0 Nothing is running."
    assert words_of(page, "journal") == "Asked of QRS 0 Nobody has asked anything."
    for task_id in (SALES, DISABLED):
        qrs.begin(task_id)
    qrs.post(f"task/{UNKNOWN}/start")
    page = show(simulator)
    assert "Reload Sales overview Triggered 0 s" in words_of(page, "runs")
    journal = words_of(page, "journal")
    assert "start synchronous · Reload Sales overview started, 201" in journal
    assert "start synchronous · Reload Budget 2019 (disabled) not started, 201" in journal
    assert f"start · {UNKNOWN} refused, 404" in journal


def test_it_shows_the_queue_and_the_attempts(certificate_folder: Path) -> None:
    tasks = [Task(id=UUID(int=number), name=f"task {number}", app="x", reload_seconds=600) for number in range(1, 6)]
    tasks.append(Task(id=UUID(int=6), name="failing", app="x", reload_seconds=0, fails_first=1, max_retries=1))
    settings = SimulatorSettings(certificates=certificate_folder, tasks=tasks)
    with Simulator(settings) as simulator:
        simulator.site.start([UUID(int=6)])
        wait_for(lambda: "failing Retry" in words_of(show(simulator), "runs"), seconds=5)
        assert "failing Retry 0 s, attempt 2" in words_of(show(simulator), "runs")
        simulator.site.start([task.id for task in tasks[:5]])
        wait_for(lambda: "task 5 Queued" in words_of(show(simulator), "runs"), seconds=5)
        assert "task 5 Queued 0 s, no. 1 in the queue" in words_of(show(simulator), "runs")
        assert "failing takes 0 s, fails 1 time first, 1 retry" in words_of(show(simulator), "tasks")
        assert "<progress" in show(simulator)


def test_it_shows_how_runs_ended(certificate_folder: Path) -> None:
    with Simulator(SimulatorSettings(certificates=certificate_folder, speed=500)) as simulator:
        simulator.site.start([UUID(SALES), UUID(FAILING)])
        wait_for(lambda: "Nothing is running" in words_of(show(simulator), "runs"), seconds=5)
        words = words_of(show(simulator), "tasks")
        assert "FinishedSuccess 0 s ago, took 0 s" in words
        assert "FinishedFail 0 s ago, took 0 s" in words


def test_it_shows_faults_and_outages(simulator: Simulator) -> None:
    play(simulator, do="fault", fault="503", amount="once", time="minute", task_id=SALES)
    play(simulator, do="fault", fault="slow", amount="third")
    page = show(simulator)
    assert "QRS answers, with 2 faults set" in words_of(page, "state")
    assert "refuse 503 · Reload Sales overview · 1 left · 60 s left" in unescape(page)
    assert "delay 2 s · 33% of the calls" in page
    play(simulator, do="down", seconds="60")
    assert re.search(r"QRS is down, (60|59) s left", words_of(show(simulator), "state"))
    play(simulator, do="down")
    assert "QRS is down" in words_of(show(simulator), "state")
    assert "left" not in words_of(show(simulator), "state")


def test_a_caller_who_got_no_answer_is_marked(simulator: Simulator, qrs: PlainQrs) -> None:
    play(simulator, do="fault", fault="reset-after")
    with pytest.raises(requests.ConnectionError):
        qrs.begin()
    assert "· reset started, no answer" in words_of(show(simulator), "journal")


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onfocus='alert(1)",
        "<!-- & --> &lt;b&gt; ]]>",
        "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\N{ZERO WIDTH SPACE}",
        "å" * 5_000,
        "\0\t\r\n",
    ],
)
def test_hostile_names_are_text(simulator: Simulator, qrs: PlainQrs, name: str) -> None:
    bare = len(re.findall("<", show(simulator)))
    task = Task(id=UUID(int=1), name=name, app=name, tags=(name,))
    simulator.site.put_tasks([task], keep_others=False)
    empty = show(simulator)
    assert len(re.findall("<", empty)) < bare
    qrs.begin(str(task.id))
    play(simulator, do="fault", fault="reset-after", task_id=str(task.id))
    page = show(simulator)
    assert {element.lower() for element in re.findall(r"<[/!]?(\w+)", page)} <= ELEMENTS
    assert not re.search(r"<[^>]*\son\w+=", page)
    assert page.count("<script") == 1
    assert name.strip() in unescape(page) or "\0" in name


ELEMENTS = {
    *("b", "body", "button", "div", "doctype", "form", "h1", "h2", "head", "header", "html", "input", "label", "li"),
    *("link", "main", "meta", "noscript", "option", "p", "script", "section", "select", "small", "span", "style"),
    *("time", "title", "ul"),
}


def test_thousands_of_tasks_and_runs_are_shown_in_part(certificate_folder: Path) -> None:
    tasks = [Task(id=UUID(int=number), name=f"task {number}", app="an app") for number in range(1, 2_001)]
    with Simulator(SimulatorSettings(certificates=certificate_folder, tasks=tasks)) as simulator:
        simulator.site.start([task.id for task in tasks])
        began = time.perf_counter()
        page = show(simulator)
        assert time.perf_counter() - began < 1
        assert words_of(page, "tasks").startswith("Tasks 100 of 2000 ")
        assert words_of(page, "runs").startswith("Under way 20 of 2000 ")
        assert len(page) < 200_000


def test_nothing_but_its_own_style_and_script_works(simulator: Simulator) -> None:
    answer = requests.get(f"{simulator.control_url}/", timeout=5)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.findall(r'(?:src|href)="(?!data:)', answer.text)


# What its buttons do


def test_a_task_is_started_stopped_disabled_and_enabled(simulator: Simulator, qrs: PlainQrs) -> None:
    play(simulator, do="start", task_id=ORDERS)
    (session,) = qrs.get("executionsession/full").json()
    assert session["reloadTask"]["id"] == ORDERS
    play(simulator, do="stop", task_id=ORDERS)
    assert qrs.get(f"executionsession/{session['id']}").json()["executionResult"]["status"] == 4
    for action, enabled in (("disable", False), ("enable", True)):
        play(simulator, do=action, task_id=ORDERS)
        (document,) = qrs.get("task/full", params={"filter": f"id eq {ORDERS}"}).json()
        assert document["enabled"] is enabled


def test_qrs_is_taken_down_and_brought_up(simulator: Simulator, qrs: PlainQrs) -> None:
    play(simulator, do="down")
    with pytest.raises(requests.ConnectionError):
        qrs.get("about")
    play(simulator, do="up")
    assert qrs.get("about").status_code == 200


def test_a_restart_loses_what_was_running(simulator: Simulator, qrs: PlainQrs) -> None:
    session = qrs.begin()
    play(simulator, do="down", seconds="0", keeps="results")
    wait_for(lambda: not simulator.mains.is_down, seconds=5)
    assert qrs.get(f"executionsession/{session}").status_code == 404
    assert [result["status"] for result in qrs.get("executionresult/full").json()] == [12]


def test_every_choice_makes_a_fault(simulator: Simulator) -> None:
    page = unescape(show(simulator))
    for word, (text, values) in FAULTS.items():
        play(simulator, do="fault", fault=word, task_id=SALES)
        (fault,) = simulator.faults.current()
        assert {name: getattr(fault, name) for name in values} == values
        assert fault.task_id == UUID(SALES)
        assert f'<option value="{word}">{text}</option>' in page
        play(simulator, do="clear")
        assert simulator.faults.current() == []


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("time", TIMES)
def test_a_fault_strikes_as_often_and_as_long_as_chosen(simulator: Simulator, amount: str, time: str) -> None:
    play(simulator, do="fault", fault="503", amount=amount, time=time)
    (fault,) = simulator.faults.current()
    assert fault.count == AMOUNTS[amount][1].get("count")
    assert fault.rate == AMOUNTS[amount][1].get("rate", 1)
    assert round(fault.lasts_seconds or 0) == TIMES[time][1].get("lasts_seconds", 0)
    assert fault.task_id is None


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"do": "explode"},
        {"do": "start"},
        {"do": "start", "task_id": "x"},
        {"do": "stop", "task_id": UNKNOWN},
        {"do": "down", "seconds": "soon"},
        {"do": "fault", "fault": "magic"},
        {"do": "fault", "task_id": "x"},
    ],
)
def test_a_button_that_there_is_not_is_refused(simulator: Simulator, form: dict[str, str]) -> None:
    answer = press(simulator, **form)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_another_site_s_page_cannot_press_them(simulator: Simulator) -> None:
    answer = requests.post(
        f"{simulator.control_url}/play", data={"do": "down"}, headers={"Origin": "http://evil.example"}, timeout=5
    )
    assert answer.status_code == 403
    assert not simulator.mains.is_down
