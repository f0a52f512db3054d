"""Who gets into the newsroom, and what a mere look at it does."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.urls import URLPattern, reverse

from newsletter.models import Campaign, Version
from newsletter.newsroom import attempts, urls
from subscribers.models import Receipt, Renewal, Subscriber

OUR_APPS = {"newsletter", "subscribers"}
OPEN_TO_ALL = {"sign-in", "sign-out"}
PATTERNS = [pattern for pattern in urls.urlpatterns if pattern.name not in OPEN_TO_ALL]
# What answers a mere look with something else than a page.
EXPECTED = {
    # A draft can be neither stopped nor corrected: back to its page.
    "campaign-cancel": 302,
    "campaign-correction": 302,
    "campaign-corrected": 302,
    "campaign-replacement": 405,
    "campaign-pause": 405,
    "campaign-resumption": 405,
    "campaign-draft": 405,
    "campaign-test": 405,
    "campaign-parking": 405,
    "campaign-mailer": 405,
    "mailer": 405,
    # Nothing is down.
    "campaign-standby": 302,
    "article-publication": 405,
    "article-withdrawal": 405,
    "reader-receipts": 405,
    "terms-draft": 405,
    "terms-publication": 405,
    "terms-renewal-date": 405,
    "terms-review": 405,
    "campaign-review": 422,
    "sign-ups-release": 405,
    "sign-ups-removal": 405,
    "attack": 405,
    "all-clear": 405,
}


def address(pattern: URLPattern, campaign: Campaign) -> str:
    converters = pattern.pattern.converters
    known = {"slug": "morning-briefing", "pk": campaign.pk, "parking": 1, "number": 1}
    known |= {"mailer": "default", "sender": campaign.publication.sender_id}
    if pattern.name == "terms-renewal":
        Renewal.objects.create(terms=campaign.publication.current_terms(), summary="x")
    if pattern.name in {"reader", "reader-receipts"}:
        known["pk"] = Subscriber.objects.earliest("pk").pk
    if pattern.name in {"reader-receipt", "reader-receipt-json"}:
        reader = Subscriber.objects.earliest("pk")
        known["pk"] = Receipt.objects.create(subscriber=reader, actor="editor", reason="x").pk
    if pattern.name == "list":
        known["pk"] = campaign.mailing_lists.get().pk
    if pattern.name in {"article", "article-preview"}:
        known["pk"] = campaign.articles.get().pk
    return reverse(f"newsroom:{pattern.name}", kwargs={name: known[name] for name in converters})


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_gets_in_without_signing_in(client, campaign, subscribe, pattern, method):
    subscribe("ann@example.com")

    answer = getattr(client, method)(address(pattern, campaign))

    assert answer.status_code == 302
    assert answer.url.startswith(reverse("newsroom:sign-in"))


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_an_account_that_is_not_staff_gets_no_further(client, campaign, subscribe, pattern):
    subscribe("ann@example.com")
    client.force_login(get_user_model().objects.create_user("reader", password="x"))

    answer = client.get(address(pattern, campaign), follow=True)

    assert answer.redirect_chain[-1][0].startswith(reverse("newsroom:sign-in"))
    assert b"Sign in to the newsroom" in answer.content


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_looking_changes_nothing(client, editor, campaign, subscribe, pattern):
    subscribe("ann@example.com")
    client.force_login(editor)
    before = list(Campaign.objects.values())

    answer = client.get(address(pattern, campaign))

    assert answer.status_code == EXPECTED.get(pattern.name, 200)
    assert list(Campaign.objects.values()) == before
    assert not Version.objects.exists()


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_no_page_has_inline_styles_or_handlers(client, editor, campaign, subscribe, pattern):
    subscribe("ann@example.com")
    client.force_login(editor)

    answer = client.get(address(pattern, campaign))

    if pattern.name not in {"campaign-mail-html", "campaign-corrected-mail-html"}:
        assert b' style="' not in answer.content
        assert b" onclick=" not in answer.content


def test_a_page_that_polls_goes_to_the_door_as_a_whole(client, campaign):
    part = reverse("newsroom:campaign-progress", args=[campaign.pk])

    answer = client.get(part, headers={"HX-Request": "true"})

    assert answer.headers["HX-Refresh"] == "true"
    assert not answer.content


def test_an_editor_signs_in_and_comes_back_to_the_page(client, publication, editor):
    wanted = client.get(reverse("newsroom:articles")).url

    answer = client.post(wanted, {"username": "editor", "password": "harbour lights"})

    assert answer.url == reverse("newsroom:articles")
    assert client.get(answer.url).status_code == 200


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "\\\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_nowhere_else(client, publication, editor, target):
    answer = client.post(
        reverse("newsroom:sign-in"),
        {"username": "editor", "password": "harbour lights", "next": target},
    )

    assert answer.url == reverse("newsroom:campaigns")


def test_signing_in_tells_nobody_who_exists(client, publication, editor):
    get_user_model().objects.create_user("reader", password="right all along")
    attempts_made = [("editor", "wrong"), ("nobody", "wrong"), ("reader", "right all along")]

    answers = [
        client.post(reverse("newsroom:sign-in"), {"username": name, "password": password})
        for name, password in attempts_made
    ]

    words = {str(answer.context["form"].non_field_errors()) for answer in answers}
    assert len(words) == 1
    assert "_auth_user_id" not in client.session


def test_passwords_cannot_be_tried_without_end(client, publication, editor):
    for _ in range(attempts.MOST):
        client.post(reverse("newsroom:sign-in"), {"username": "editor", "password": "wrong"})

    right = {"username": "editor", "password": "harbour lights"}
    answer = client.post(reverse("newsroom:sign-in"), right)

    assert "Too many attempts" in answer.text
    assert "_auth_user_id" not in client.session


def test_another_place_may_still_sign_in(client, publication, editor):
    for _ in range(attempts.MOST + 1):
        client.post(reverse("newsroom:sign-in"), {"username": "editor", "password": "wrong"})

    right = {"username": "editor", "password": "harbour lights"}
    answer = client.post(reverse("newsroom:sign-in"), right, REMOTE_ADDR="192.0.2.9")

    assert answer.status_code == 302


def test_signing_in_forgets_what_was_mistyped(client, publication, editor):
    right = {"username": "editor", "password": "harbour lights"}
    for _ in range(attempts.MOST - 1):
        client.post(reverse("newsroom:sign-in"), {"username": "editor", "password": "wrong"})

    client.post(reverse("newsroom:sign-in"), right)

    assert not attempts.is_one_too_many("editor", "127.0.0.1")
    cache.clear()


def test_signing_out_takes_a_post(client, publication, editor):
    client.force_login(editor)

    looked = client.get(reverse("newsroom:sign-out"))
    still_in = "_auth_user_id" in client.session
    client.post(reverse("newsroom:sign-out"))

    assert looked.status_code == 405
    assert still_in
    assert "_auth_user_id" not in client.session


def test_the_records_have_the_same_door(client, publication):
    answer = client.get("/records/", follow=True)

    assert answer.redirect_chain[-1][0].startswith(reverse("newsroom:sign-in"))


def test_the_records_show_evidence_and_change_none(admin_client, subscribe):
    consent = subscribe("ann@example.com").consents.earliest("pk")
    page = f"/records/subscribers/consent/{consent.pk}/"

    shown = admin_client.get(page + "change/")

    assert shown.status_code == 200
    assert admin_client.post(page + "change/", {"address": "x@example.com"}).status_code == 403
    assert admin_client.post(page + "delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get("/records/subscribers/consent/add/").status_code == 403


def test_every_record_can_be_looked_at(admin_client, campaign, subscribe):
    subscribe("ann@example.com")
    ours = [model for model in admin.site._registry if model._meta.app_label in OUR_APPS]

    answers = [
        admin_client.get(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        )
        for model in ours
    ]

    assert len(ours) == 27
    assert {answer.status_code for answer in answers} == {200}
