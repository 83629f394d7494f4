"""What the fault harness puts its customers through: everything at least once, and the same again for the same seed."""

from __future__ import annotations

import itertools

from tests.faults.plan import ENDINGS, Disturbance, Ending, Fault, Kind, make


def test_every_fault_meets_every_write_under_every_disturbance() -> None:
    plans = make(seed=1, flows=1000)
    met = {(plan.kind, plan.faults[0], plan.disturbance) for plan in plans}
    assert met == set(itertools.product(Kind, Fault, Disturbance))
    assert {(plan.kind, plan.ending) for plan in plans} == {(kind, end) for kind in Kind for end in ENDINGS[kind]}
    assert {plan.leaves for plan in plans} == {True, False}


def test_a_seed_tells_all_of_a_run() -> None:
    assert make(seed=7, flows=600) == make(seed=7, flows=600) != make(seed=8, flows=600)


def test_customers_have_addresses_and_networks_of_their_own() -> None:
    plans = make(seed=2, flows=2000)
    assert len({plan.email for plan in plans}) == len({plan.address for plan in plans}) == len(plans)
    assert all(plan.ending is not Ending.CORRECTED for plan in plans if plan.leaves), (
        "they have to come back and mend it"
    )
