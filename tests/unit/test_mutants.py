"""The tool that puts faults into the code: which faults it makes, and which of them it chooses."""

from __future__ import annotations

import ast
from subprocess import CompletedProcess

import pytest

from tests.mutants.choice import MODULES, WITH_LOCKS, list_tests
from tests.mutants.finding import ROOT, choose, choose_fairly, find_mutants
from tests.mutants.mutant import Text, name_mutants
from tests.mutants.operators import OPERATORS
from tests.mutants.page import format_table, list_unexplained
from tests.mutants.workshop import BrokenOffError, Copy

OPTIONAL = {"Outcome": frozenset({"session"})}


def mutate(source: str) -> set[str]:
    """Return what a piece of code becomes, each mutant of it."""
    text = Text(source.encode())
    nodes = [node for node in ast.walk(text.tree) if node is not text.tree]
    found = (("place", 1, change) for node in nodes for do in OPERATORS for change in do(node, text, OPTIONAL))
    return {mutant.apply(text.source).decode() for mutant in name_mutants("m.py", text, found)}


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("lease.release()", "pass"),
        ("self.token = None", "pass"),
        ("rows.filter(pk=1, state=s)", "rows.filter(state=s)"),
        ("rows.filter(pk=1, state=s)", "rows.filter(pk=1)"),
        ("rows.filter(free, pk=1)", "rows.filter(pk=1)"),
        ("rows.update(a=1,\n  b=2)", "rows.update(a=1)"),
        ("x = rows.order_by('pk').select_for_update()", "x = rows.order_by('pk')"),
        ("x = rows.order_by('pk').select_for_update()", "x = rows.select_for_update()"),
        ("x = Outcome(id=i, session=s)", "x = Outcome(id=i)"),
        ("with transaction.atomic():\n    f()", "if True:\n    f()"),
        ("if a:\n    f()", "if (not (a)):\n    f()"),
        ("x = a <= b", "x = a < b"),
        ("x = a is not None", "x = a is None"),
        ("x = a not in b", "x = a in b"),
        ("x = rows[1:]", "x = rows[2:]"),
        ("x = a and b", "x = ((a) or (b))"),
        ("x = a and b", "x = ((b))"),
        ("x = a - b", "x = (a + b)"),
        ("x = max(a, b)", "x = min(a, b)"),
        ("x = ('a', 'b')", "x = ('b')"),
        ("x = {State.A, State.B}", "x = {State.A}"),
        ("try:\n    f()\nexcept OSError:\n    g()", "try:\n    f()\nexcept OSError:\n    raise"),
        ("try:\n    f()\nexcept OSError:\n    raise", "try:\n    f()\nexcept OSError:\n    pass"),
        ("x = Run.State.UNSURE", "x = Run.State.RETRYING"),
        ("def f():\n    return True", "def f():\n    return False"),
        ("def f():\n    g()\n    h()", "def f():\n    return\n    g()\n    h()"),
        ("x = f'''UPDATE a WHERE b\n AND c\n'''", "x = f'''UPDATE a WHERE b\n \n'''"),
        ("x = f'INSERT INTO a ON CONFLICT DO NOTHING'", "x = f'INSERT INTO a'"),
        ("x = f'SELECT 1 FROM a FOR UPDATE'", "x = f'SELECT 1 FROM a'"),
        ("x = f'(SELECT id FROM a ORDER BY due LIMIT 1)'", "x = f'(SELECT id FROM a LIMIT 1)'"),
    ],
)
def test_each_kind_of_fault_is_made(source, mutant):
    assert mutant in mutate(source)


@pytest.mark.parametrize("source", ["logger.info('a')", "x = f(required=a)", "'''a text'''"])
def test_what_would_tell_nothing_about_tests_is_not_made(source):
    assert mutate(source) == set()


def test_letters_of_more_than_one_byte_are_no_trouble():
    assert "x = 'åäö' + a.filter()" in mutate("x = 'åäö' + a.filter(b=1)")


def test_each_module_has_tests_that_there_are():
    assert set(MODULES) >= WITH_LOCKS
    files = {file for module in MODULES for file in (module, *list_tests(module))}

    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("module", ["schedules/turns.py", "schedules/lease.py"])
def test_no_two_mutants_have_the_same_name_and_each_changes_something(module):
    found, source = find_mutants(module), (ROOT / module).read_bytes()

    assert len({mutant.name for mutant in found}) == len(found) > 10
    assert source not in {mutant.apply(source) for mutant in found}


def test_a_seed_chooses_the_same_again_and_every_kind_has_its_share():
    found = find_mutants("schedules/claims.py")
    kinds = {mutant.change.kind for mutant in found}

    # The worst kinds come twice as often
    chosen = choose_fairly(found, number=len(kinds) + 2, seed="7")

    assert {mutant.change.kind for mutant in chosen} == kinds
    assert chosen == choose_fairly(found, number=len(kinds) + 2, seed="7")
    modules = ["schedules/turns.py", "schedules/claims.py"]
    of_all = choose({module: find_mutants(module) for module in modules}, number=40, seed=7)
    assert 36 <= sum(map(len, of_all.values())) <= 44
    assert min(map(len, of_all.values())) >= 8


def test_every_lock_and_transaction_is_tried_and_none_is_chosen_by_chance():
    found = {module: find_mutants(module) for module in ("schedules/turns.py", "schedules/claims.py")}

    locks = {mutant.change.shown for mutants in found.values() for mutant in mutants if mutant.is_of_lock}

    assert locks >= {".select_for_update()", '.order_by("pk")', "transaction.atomic()", "ON CONFLICT DO NOTHING"}
    chosen = choose(found, number=10_000, seed=7)
    assert not [mutant for mutants in chosen.values() for mutant in mutants if mutant.is_of_lock]


def test_the_table_tells_what_is_killed_and_what_has_no_reason():
    results = {"schedules/a.py": {"tried": 4, "timed_out": 1, "left": ["a", "b"]}}

    assert [line.split() for line in format_table(results)[1:]] == [
        ["schedules/a.py", "4", "2", "50", "1", "2"],
        ["all", "4", "2", "50", "1", "2"],
    ]
    assert list_unexplained(results, {"a": "equivalent"}) == ["b"]


def test_tests_that_somebody_has_broken_off_have_noticed_nothing(tmp_path, monkeypatch):
    pytest_that_is_ended = tmp_path / "python"
    pytest_that_is_ended.write_text("#!/bin/sh\nkill -TERM $$\n")
    pytest_that_is_ended.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(pytest_that_is_ended))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: CompletedProcess([], 0, stdout=b""))

    with pytest.raises(BrokenOffError, match="signal 15"):
        Copy(tmp_path, postgres_url="")._run_tests([], "")
