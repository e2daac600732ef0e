"""Which call a fault strikes, and how often."""

from __future__ import annotations

from uuid import UUID

from qlik.simulator.faults import Fault, FaultKind, FaultPlan

ONE, OTHER = UUID(int=1), UUID(int=2)


def make_plan(*faults: Fault) -> FaultPlan:
    plan = FaultPlan()
    for fault in faults:
        plan.add(fault)
    return plan


def test_without_a_task_it_strikes_every_call() -> None:
    fault = Fault(kind=FaultKind.RESET)
    plan = make_plan(fault)
    assert [plan.take([ONE]), plan.take([]), plan.take([ONE, OTHER])] == [fault] * 3


def test_with_a_task_it_strikes_the_calls_about_that_task_alone() -> None:
    fault = Fault(kind=FaultKind.RESET, task_id=ONE)
    plan = make_plan(fault)
    assert [plan.take([OTHER]), plan.take([]), plan.take([OTHER, ONE])] == [None, None, fault]


def test_with_a_count_it_strikes_so_many_times() -> None:
    plan = make_plan(Fault(kind=FaultKind.RESET, task_id=ONE, count=2))
    assert [plan.take([task]) is not None for task in (ONE, OTHER, ONE, ONE)] == [True, False, True, False]
    assert plan.current() == []


def test_the_next_fault_strikes_when_the_first_is_used_up() -> None:
    plan = make_plan(Fault(kind=FaultKind.RESET, count=1), Fault(kind=FaultKind.HTML))
    taken = [plan.take([ONE]) for _ in range(3)]
    assert [fault and fault.kind for fault in taken] == [FaultKind.RESET, FaultKind.HTML, FaultKind.HTML]


def test_cleared_it_strikes_no_more() -> None:
    plan = make_plan(Fault(kind=FaultKind.RESET))
    plan.clear()
    assert plan.take([ONE]) is None


def test_only_a_refused_call_does_not_take_effect_unless_told() -> None:
    effective = {kind: Fault(kind=kind).is_effective for kind in FaultKind}
    assert [kind for kind, is_effective in effective.items() if not is_effective] == [FaultKind.REFUSE]
    assert Fault(kind=FaultKind.REFUSE, takes_effect=True).is_effective
    assert not Fault(kind=FaultKind.HANG, takes_effect=False).is_effective


def test_it_strikes_the_calls_that_it_names() -> None:
    fault = Fault(kind=FaultKind.RESET, calls=("start", "start synchronous"))
    plan = make_plan(fault)
    assert [plan.take([ONE], call=call) for call in ("start", "stop", "start synchronous")] == [fault, None, fault]


def test_it_strikes_in_its_time_alone() -> None:
    clock = Clock()
    plan = FaultPlan(clock=clock)
    plan.add(Fault(kind=FaultKind.RESET, begins_in_seconds=10, lasts_seconds=5))
    struck = []
    for clock.now in (0.0, 9.9, 10.0, 14.9, 15.0, 100.0):
        struck.append(plan.take([ONE]) is not None)
    assert struck == [False, False, True, True, False, False]


def test_it_tells_how_long_it_still_lasts() -> None:
    clock = Clock()
    plan = FaultPlan(clock=clock)
    plan.add(Fault(kind=FaultKind.RESET, begins_in_seconds=10, lasts_seconds=5))
    times = []
    for clock.now in (4.0, 12.0, 15.0):
        times.append([(fault.begins_in_seconds, fault.lasts_seconds) for fault in plan.current()])
    assert times == [[(6.0, 5.0)], [(0.0, 3.0)], []]


def test_it_strikes_a_part_of_the_calls() -> None:
    draws = iter([0.0, 0.29, 0.3, 0.9])
    plan = FaultPlan(draw=lambda: next(draws))
    plan.add(Fault(kind=FaultKind.RESET, task_id=ONE, rate=0.3))
    assert plan.take([OTHER]) is None
    assert [plan.take([ONE]) is not None for _ in range(4)] == [True, True, False, False]


def test_where_the_first_does_not_strike_the_next_may() -> None:
    plan = FaultPlan(draw=lambda: 0.5)
    plan.add(Fault(kind=FaultKind.RESET, rate=0.1))
    plan.add(Fault(kind=FaultKind.HTML))
    fault = plan.take([ONE])
    assert fault
    assert fault.kind is FaultKind.HTML


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now
