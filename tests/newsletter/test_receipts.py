"""All the evidence of a reader on one sheet, and who looked at it."""

import json
import time

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from subscribers.models import Consent, Evidence, Receipt, Removal, Subscription
from subscribers.tokens import Purpose, sign
from tests.subscribers.evidence import meddle, seal_all


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def ann(client, sign_up):
    """Somebody who signed up and confirmed, by the front door."""
    sign_up("Ann@example.com", page="/", headers={"User-Agent": "<b>Mosaic</b>"})
    period = Subscription.objects.get()
    client.post(f"/c/{sign(Purpose.CONFIRM, period.pk, int(time.time()))}")
    return period.subscriber


@pytest.fixture
def receipt(desk, ann):
    """The address of one that the editor drew up."""
    return desk.post(reverse("newsroom:reader-receipts", args=[ann.pk]), {"reason": "Ann asks"}).url


def test_a_receipt_is_on_record_with_who_when_and_what_for(receipt, ann):
    drawn_up = Receipt.objects.get()

    assert (drawn_up.actor, drawn_up.reason) == ("editor", "Ann asks")
    assert drawn_up.subscriber == ann


def test_nothing_is_shown_without_a_reason(desk, ann):
    answer = desk.post(reverse("newsroom:reader-receipts", args=[ann.pk]), {"reason": " "})

    assert answer.status_code == 422
    assert not Receipt.objects.exists()


def test_another_editor_has_to_draw_up_another(desk, receipt):
    other = get_user_model().objects.create_user("other", password="x", is_staff=True)
    desk.force_login(other)

    assert desk.get(receipt).status_code == 404
    assert desk.get(receipt.rstrip("/") + ".json").status_code == 404


def test_the_sheet_says_all_that_is_on_record(desk, receipt):
    seal_all()

    page = desk.get(receipt).text

    for words in [
        "Ann@example.com",
        "By submitting this form, I agree to the terms.",
        "You get our news until you leave.",
        "127.0.0.1",
        "&lt;b&gt;Mosaic&lt;/b&gt;",
        "morning-briefing: ticked",
        "http://localhost:8000/terms/1/",
        "Ann asks",
    ]:
        assert words in page


def test_the_same_as_json(desk, receipt, publication):
    seal_all()

    answer = desk.get(receipt.rstrip("/") + ".json")

    told = json.loads(answer.content)
    given, confirmed = told["consents"]
    assert answer["Content-Disposition"].startswith("attachment")
    assert (given["action"], confirmed["action"]) == ("given", "confirmed")
    assert given["boxes"] == {"agree": True, "lists": {"morning-briefing": True}}
    assert given["terms"]["sha256"] == publication.current_terms().fingerprint
    assert given["seal"]["number"] == 1
    assert given["at"] == Consent.objects.earliest("pk").at.isoformat()
    assert told["terms"][0]["text"] == "You get our news until you leave."


def test_what_is_no_longer_what_it_was_is_said(desk, receipt):
    seal_all()
    meddle("UPDATE subscribers_consent SET address = 'bob@example.com'")

    assert "Not what it was when it was sealed: address" in desk.get(receipt).text


def test_what_is_no_longer_kept_is_said(desk, receipt):
    seal_all()
    Removal.objects.trim(Consent.objects.all(), "traces_over")

    page = desk.get(receipt).text

    assert "no longer kept" in page
    assert "127.0.0.1" not in page


def test_a_sheet_takes_as_many_queries_for_many_consents_as_for_one(
    desk, receipt, ann, django_assert_num_queries
):
    period = Subscription.objects.get()
    for _ in range(8):
        Consent.objects.record("given", period, Evidence(method="form"))
    seal_all()

    with django_assert_num_queries(13):
        desk.get(receipt)


def test_the_readers_page_tells_who_looked(desk, receipt, ann):
    assert "Ann asks" in desk.get(reverse("newsroom:reader", args=[ann.pk])).text
