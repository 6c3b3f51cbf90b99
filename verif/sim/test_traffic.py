"""Rates of accesses over time."""

import pytest

from sim.traffic import Traffic


def test_rate_is_the_average_over_what_is_known() -> None:
    traffic = Traffic()
    traffic.add(10, 20, 10)
    traffic.add(30, 50, 5)
    assert traffic.rate(0, 10) == 0
    assert traffic.rate(10, 20) == 1
    assert traffic.rate(15, 25) == pytest.approx(0.5)
    assert traffic.rate(10, 50) == pytest.approx(15 / 40)
    assert traffic.rate(40, 60) == pytest.approx(2.5 / 20)
    assert traffic.rate(60, 70) == 0


def test_work_that_overlaps_the_one_before_is_not_lost() -> None:
    traffic = Traffic()
    traffic.add(10, 30, 10)
    traffic.add(20, 30, 5)
    assert traffic.rate(10, 110) == pytest.approx(0.15)


def test_no_port_makes_more_than_one_access_a_cycle() -> None:
    traffic = Traffic()
    traffic.add(5, 5, 3)
    assert traffic.rate(5, 6) == 1
