"""How often something may happen, and whose count it is: pure arithmetic and spelling."""

from __future__ import annotations

import pytest

from onboarding.domain.flow import AccountType, Channel, Identity
from onboarding.domain.limits import Allowance, network, read_allowances, still_counting, used, wait
from onboarding.limits import recipient

TWO = (Allowance(2, 60), Allowance(3, 600))


def test_allowances_are_read_as_written() -> None:
    assert read_allowances("3/10m, 5/30m") == (Allowance(3, 600), Allowance(5, 1800))
    assert read_allowances("1/90s,30/24h") == (Allowance(1, 90), Allowance(30, 86_400))
    assert read_allowances("off") == ()


@pytest.mark.parametrize("text", ["", "3", "3/10", "3/m", "0/1m", "1/0s", "-1/1m", "3/10m;5/30m", "9999/1m", "1/999h"])
def test_what_is_no_allowance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read_allowances(text)


@pytest.mark.parametrize(
    ("moments", "now", "seconds", "share"),
    [
        ([], 0.0, 0, 0.0),
        ([0.0], 1.0, 0, 0.5),
        ([0.0, 10.0], 20.0, 40, 1.0),  # until the older of the two is a minute old
        ([0.0, 10.0], 60.0, 0, 2 / 3),
        ([10.0, 0.0, 100.0], 130.0, 470, 1.0),  # the longer allowance, in whatever order the moments stand
        ([0.0, 1.0, 2.0, 3.0], 4.0, 597, 2.0),  # an allowance that was made smaller meanwhile
        ([0.0, 10.0, 100.0], 700.0, 0, 0.0),
    ],
)
def test_one_more_is_allowed_as_soon_as_every_allowance_has_room(
    moments: list[float], now: float, seconds: float, share: float
) -> None:
    assert wait(moments, TWO, now) == pytest.approx(seconds)
    assert used(moments, TWO, now) == pytest.approx(share)


def test_what_counts_nowhere_any_more_is_forgotten() -> None:
    assert still_counting([700.0, 0.0, 100.0], TWO, 700.0) == [700.0]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_an_ipv6_customer_has_one_limit_however_many_addresses(address: str, counted: str) -> None:
    assert network(address) == counted


def by_email(email: str) -> str:
    return recipient(Identity(Channel.EMAIL, AccountType.INDIVIDUAL, "GB", email=email))


def by_phone(area: str, phone: str) -> str:
    return recipient(Identity(Channel.PHONE, AccountType.INDIVIDUAL, "GB", area=area, phone=phone))


def test_spelling_gives_no_second_allowance() -> None:
    assert by_email("Ann@Example.ORG") == by_email("ann@example.org") == "ann@example.org"
    assert by_email("ann@Bücher.example") == by_email("ann@xn--bcher-kva.example")
    assert by_phone("+44", "07400123000") == by_phone("44", "7400123000") == "+447400123000"


def test_those_who_may_be_different_people_have_limits_of_their_own() -> None:
    assert len({by_email(text) for text in ("ann@example.org", "a.nn@example.org", "ann+x@example.org")}) == 3
    assert by_phone("+1", "2025550100") != by_phone("+44", "2025550100")
