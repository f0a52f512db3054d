"""Whose network address is believed (ABU-03)."""

import pytest

from subscribers.network import client_address


@pytest.fixture
def seen(rf):
    def seen(remote, forwarded=None):
        headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
        return client_address(rf.get("/", headers=headers, REMOTE_ADDR=remote))

    return seen


def test_nobody_may_name_an_address_for_himself(seen):
    assert seen("203.0.113.9", "198.51.100.1") == "203.0.113.9"


def test_a_trusted_proxy_names_the_client(seen, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "::1"]

    assert seen("10.1.2.3", "198.51.100.1") == "198.51.100.1"
    assert seen("::1", "2001:db8::5") == "2001:db8::5"


def test_what_stands_before_the_first_stranger_is_his_invention(seen, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    assert seen("10.1.2.3", "1.1.1.1, 198.51.100.1, 10.9.9.9") == "198.51.100.1"


@pytest.mark.parametrize("forwarded", ["", "unknown", "_hidden, garbage", ",,,"])
def test_a_proxy_that_names_nobody_is_the_client_itself(seen, settings, forwarded):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    assert seen("10.1.2.3", forwarded) == "10.1.2.3"


def test_addresses_are_written_in_one_way(seen, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]

    assert seen("::ffff:10.1.2.3", "[2001:DB8::0005]") == "2001:db8::5"


def test_a_socket_without_an_address_has_none(seen):
    assert seen("") is None


def test_a_zone_is_no_part_of_an_address(seen):
    assert seen("fe80::1%eth0") == "fe80::1"
