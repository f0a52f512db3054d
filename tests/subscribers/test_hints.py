"""Slips of the finger: asked about, never corrected."""

import html
import re

import pytest

from subscribers import hints
from subscribers.addresses import parse
from subscribers.models import Consent, SignUp, Subscriber


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ann@gmial.com", "ann@gmail.com"),
        ("ann@gmail.ocm", "ann@gmail.com"),
        ("ann@gmail.con", "ann@gmail.com"),
        ("ann@gmail.co", "ann@gmail.com"),
        ("ann@gmail.comm", "ann@gmail.com"),
        ("ann@gmai.com", "ann@gmail.com"),
        ("ann@ggmail.com", "ann@gmail.com"),
        ("Ann+x@hotnail.com", "Ann+x@hotmail.com"),
        ("ann@yaho.co.uk", "ann@yahoo.co.uk"),
        ("ann@t-onlin.de", "ann@t-online.de"),
        ("ann@GMIAL.com", "ann@gmail.com"),
    ],
)
def test_a_slip_beside_a_great_provider_is_asked_about(typed, meant):
    assert str(hints.suggestion(parse(typed))) == meant


@pytest.mark.parametrize(
    "domain",
    [
        "gmail.com", "ymail.com", "mail.com", "email.com", "cloud.com", "icloud.com", "gmx.de",
        "gmx.net", "hotmail.it", "hotmail.fi", "outlook.be", "yahoo.ca", "example.com", "gm.com",
        "freenet.dk", "live.com", "harbour.example", "xn--bcher-kva.example",
    ],
)  # fmt: skip
def test_what_may_well_be_right_is_not_asked_about(domain):
    assert hints.suggestion(parse(f"ann@{domain}")) is None


def buttons(page):
    """What each of them says, and what it sends."""
    found = re.findall(r'name="meant" value="([^"]+)">\s*<span>(.*?)</span>', page.content.decode())
    return {re.sub("<.*?>", "", label): html.unescape(value) for value, label in found}


def test_the_form_comes_back_once_with_both_choices_and_what_was_typed(sign_up):
    page = sign_up("ann@gmial.com", name="Ann")

    assert page.status_code == 422
    assert "Did you mean <bdi>ann@gmail.com</bdi>?" in page.content.decode()
    assert 'value="ann@gmial.com"' in page.content.decode()
    assert buttons(page) == {
        "Yes, ann@gmail.com": "ann@gmail.com",
        "No, ann@gmial.com": "ann@gmial.com",
    }
    assert not Subscriber.objects.exists()


def test_enter_chooses_neither(sign_up):
    page = sign_up("ann@gmial.com").content.decode()

    first = re.search(r"<button[^>]*>", page)[0]
    assert "name=" not in first
    assert 'aria-hidden="true"' in first
    assert 'tabindex="-1"' in first


@pytest.mark.parametrize("choice", ["Yes, ann@gmail.com", "No, ann@gmial.com"])
def test_the_reader_decides_and_consents_with_that_address(sign_up, choice):
    meant = buttons(sign_up("ann@gmial.com"))[choice]

    answer = sign_up("ann@gmial.com", meant=meant)

    assert answer.status_code == 303
    assert Subscriber.objects.get().address == meant
    assert Consent.objects.get().address == meant


def test_a_choice_about_another_address_decides_nothing(sign_up):
    assert sign_up("eve@gmial.com", meant="ann@gmail.com").status_code == 422
    assert sign_up("eve@example.com", meant="ann@gmail.com").status_code == 303
    assert [one.address for one in Subscriber.objects.all()] == ["eve@example.com"]


def test_what_was_typed_is_shown_as_text(sign_up):
    page = sign_up('"<i>"@gmial.com').content.decode()

    assert "<i>" not in page


def test_an_error_elsewhere_comes_first(sign_up):
    page = sign_up("ann@gmial.com", agree=None).content.decode()

    assert "Did you mean" not in page
    assert not SignUp.objects.exists()
