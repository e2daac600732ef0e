"""A quarter of an hour of the replayed day, around 06:00; `make chaos` replays all of it."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.day.page import format_account, write_page
from tests.chaos.day.replay import replay_day
from tests.chaos.day.verdict import judge_day

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the lease knows a dead process of this machine from /proc"),
    pytest.mark.timeout(180),
]


def test_the_ledger_tells_a_day_as_it_was(terms):
    evidence = replay_day(terms)
    account = judge_day(evidence)

    told = format_account(evidence, account)
    assert account.is_right, f"seed {terms.seed}\n{told}"
    assert account.started_once > 20, told
    page = write_page(evidence, account, seed=terms.seed, database="sqlite", began="2026-03-02", minutes=1)
    assert f"| started once | {account.started_once} |" in page
