"""The benchmarks measure something: one small burst of each scheduler that is installed, and small mass edits."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.benchmarks.burst import measure_burst
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.mass import measure_imports
from tests.benchmarks.stage import Stage

NUMBER = 50


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_burst_is_measured_from_its_due_second(name):
    if name == "redbeat" and find_spec("redbeat") is None:
        pytest.skip("RedBeat comes with requirements/bench.txt")
    with Stage() as stage:
        burst = measure_burst(stage, name, NUMBER, rounds=2 if name == "ours" else 1)

    assert len(burst.seconds) == (2 if name == "ours" else 1)
    assert all(0 < seconds < 10 for seconds in burst.seconds)
    assert (burst.checked > 0) == (name == "ours")
    assert burst.missing == 0


def test_a_mass_edit_is_measured_while_others_are_due():
    with Stage() as stage:
        edited = measure_imports(stage, 30, a_second=2)

    assert list(edited) == ["new", "changed"]
    assert all(0 < one.seconds < 60 and 0 < one.silence < 60 for one in edited.values())
