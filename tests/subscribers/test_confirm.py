"""From the link in the mail to being subscribed, and the ways around it."""

import re
import time

import pytest
import time_machine

from subscribers.models import Consent, Evidence, Letter, Subscriber, Subscription, Suppression
from subscribers.tokens import Purpose, sign

DAY = 24 * 60 * 60


@pytest.fixture
def asked(sign_up, letters):
    """Somebody signed up; this is the confirmation mail."""
    sign_up("Ann@example.com")
    return letters()[-1]


@pytest.fixture
def confirm_path(asked, link):
    return link("c", asked)


def test_the_button_confirms_and_a_welcome_goes_out(client, confirm_path, letters):
    answer = client.post(confirm_path, headers={"User-Agent": "Mosaic/1.0"})

    assert "You’re subscribed" in answer.content.decode()
    assert Subscription.objects.mailable().count() == 1
    assert letters()[-1].subject == "Welcome to The Harbour Post"
    consent = Consent.objects.get(action=Consent.Action.CONFIRMED)
    assert (consent.network_address, consent.browser) == ("127.0.0.1", "Mosaic/1.0")
    assert consent.method == Consent.Method.LINK


@pytest.mark.parametrize("method", ["get", "head", "options", "trace", "put", "delete"])
def test_looking_at_the_link_confirms_nothing(client, confirm_path, method):
    answer = getattr(client, method)(confirm_path, headers={"Sec-Purpose": "prefetch"})

    assert answer.status_code == 200
    assert Subscription.objects.get().is_pending


def test_the_page_names_what_for_and_masks_the_address(client, confirm_path):
    page = client.get(confirm_path).content.decode()

    assert "Morning Briefing" in page
    assert "A•••@example.com" in page
    assert "Ann@example.com" not in page
    assert page.count('type="submit"') == 1
    assert "<script" not in page


def test_the_pages_are_kept_and_found_by_nobody(client, confirm_path, asked, link):
    for path in [confirm_path, link("b", asked), "/u/x", "/r/x", "/c/x", "/c/x/new-link"]:
        for answer in [client.get(path), client.post(path)]:
            assert answer["Referrer-Policy"] == "no-referrer"
            assert answer["Cache-Control"] == "no-store"
            assert answer["X-Robots-Tag"] == "noindex"
            assert answer["X-Frame-Options"] == "DENY"
            assert "unsafe-inline" not in answer["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
            assert not answer.cookies


def test_a_last_slash_is_not_redirected(client, confirm_path):
    assert client.get(f"{confirm_path}/").status_code == 200
    assert client.post(f"{confirm_path}/").status_code == 200
    assert Subscription.objects.get().is_confirmed


def test_pressing_twice_is_one_confirmation_one_welcome_and_two_successes(
    client, confirm_path, letters
):
    first, second = client.post(confirm_path), client.post(confirm_path)

    assert first.content == second.content
    assert Consent.objects.filter(action=Consent.Action.CONFIRMED).count() == 1
    assert [mail.subject.split()[0] for mail in letters()] == ["Please", "Welcome"]


def test_one_click_confirms_all_lists_that_wait(client, sign_up, weekend, letters, link):
    sign_up(lists=["morning-briefing", "weekend-reader"])
    path = link("c", letters()[0])

    question = "Shall we send you Morning Briefing and Weekend Reader?"
    assert question in client.get(path).content.decode()
    answer = client.post(path, {"lists": ["morning-briefing", "weekend-reader"]})

    assert "Morning Briefing and Weekend Reader" in answer.content.decode()

    assert Subscription.objects.confirmed().count() == 2
    assert Consent.objects.filter(action=Consent.Action.CONFIRMED).count() == 2
    assert len(letters()) == 2


def test_either_of_two_mails_confirms(client, sign_up, letters, link):
    with time_machine.travel(time.time() - DAY, tick=False) as clock:
        sign_up()
        letters()
        clock.shift(60 * 60)
        sign_up()
    first, second = [link("c", mail) for mail in letters()]

    assert first != second
    client.post(first)
    assert "You’re subscribed" in client.post(second).content.decode()


def test_a_link_lives_for_a_week(client, confirm_path):
    with time_machine.travel(time.time() + 7 * DAY - 60):
        assert "no longer works" not in client.get(confirm_path).content.decode()
    with time_machine.travel(time.time() + 7 * DAY + 60):
        assert "no longer works" in client.post(confirm_path).content.decode()

    assert Subscription.objects.get().is_pending


def test_expired_and_made_up_links_read_the_same(client, confirm_path):
    token = confirm_path.removeprefix("/c/")
    with time_machine.travel(time.time() + 8 * DAY):
        expired = client.get(confirm_path).content.decode()
        made_up = client.get(f"/c/{'x' * len(token)}").content.decode()

    assert expired.replace(token, "x" * len(token)) == made_up


def test_an_expired_link_offers_a_new_one_within_the_limits(client, sign_up, letters, link):
    with time_machine.travel(time.time() - 8 * DAY):
        sign_up()
        letters()
    old = link("c", letters()[0])
    page = client.get(old).content.decode()

    assert f'action="{old}/new-link"' in page
    answers = [client.post(f"{old}/new-link") for _time in range(3)]

    assert {answer.status_code for answer in answers} == {303}
    assert len(letters()) == 2
    client.post(link("c", letters()[1]))
    assert Subscription.objects.get().is_confirmed


def test_a_made_up_link_gets_no_mail_and_the_same_answer(client, confirm_path, letters):
    known, made_up = client.post(f"{confirm_path}/new-link"), client.post("/c/abc/new-link")

    assert (known.content, dict(known.headers)) == (made_up.content, dict(made_up.headers))
    assert len(letters()) == 1


def test_a_link_that_was_used_gets_no_other_mail(client, confirm_path, letters):
    client.post(confirm_path)
    letters()

    with time_machine.travel(time.time() + 8 * DAY):
        client.post(f"{confirm_path}/new-link")

        assert [mail.subject.split()[0] for mail in letters()] == ["Please", "Welcome"]


def test_looking_at_the_offer_sends_nothing(client, confirm_path):
    client.get(f"{confirm_path}/new-link")

    assert Letter.objects.count() == 1


def test_a_link_brings_nobody_back_who_left(client, confirm_path):
    client.post(confirm_path)
    subscription = Subscription.objects.get()
    token = sign(Purpose.UNSUBSCRIBE, subscription.subscriber_id, subscription.mailing_list_id, 0)
    client.post(f"/u/{token}")

    answer = client.post(confirm_path)

    assert "no longer works" in answer.content.decode()
    assert not Subscription.objects.mailable().exists()


def test_tokens_of_other_mails_do_not_confirm(client, asked, link):
    subscription = Subscription.objects.get()
    for purpose in set(Purpose) - {Purpose.CONFIRM}:
        client.post(f"/c/{sign(purpose, subscription.pk, int(time.time()))}")

    assert subscription.is_pending
    assert not Subscription.objects.confirmed().exists()


@pytest.mark.parametrize("reason", ["complained", "bounced", "by_staff"])
def test_a_confirmation_does_not_lift_what_has_rules_of_its_own(client, confirm_path, reason):
    Suppression.objects.create(
        key=Subscriber.objects.get().suppression_key,
        scope=Suppression.Scope.EVERYTHING,
        reason=reason,
    )

    client.post(confirm_path)

    assert Suppression.objects.in_force().count() == 1
    assert not Subscription.objects.mailable().exists()


def test_a_list_that_the_page_did_not_name_is_not_confirmed(
    client, sign_up, weekend, letters, link
):
    sign_up()
    path = link("c", letters()[0])
    page = client.get(path).content.decode()
    shown = re.findall('name="lists" value="([^"]+)"', page)
    sign_up(lists=["weekend-reader"])

    client.post(path, {"lists": shown})

    assert shown == ["morning-briefing"]
    assert [one.mailing_list.slug for one in Subscription.objects.confirmed()] == shown
    assert Subscription.objects.pending().count() == 1


def test_a_fresh_confirmation_lifts_having_left(client, subscribe, sign_up, letters, link):
    left = subscribe("ann@example.com")
    client.post(f"/u/{sign(Purpose.UNSUBSCRIBE, left.subscriber_id, left.mailing_list_id, 0)}")
    sign_up("ann@example.com")
    assert not Subscription.objects.mailable().exists()

    client.post(link("c", letters()[-1]))

    assert Subscription.objects.mailable().count() == 1
    assert Subscription.objects.count() == 2


def test_a_fresh_confirmation_lifts_no_more_than_it_confirms(
    client, subscribe, briefing, weekend, sign_up, letters, link
):
    for mailing_list in [briefing, weekend]:
        left = subscribe("ann@example.com", mailing_list)
        left.end(Subscription.EndReason.UNSUBSCRIBED, Evidence(method=Consent.Method.LINK))
    sign_up("ann@example.com", lists=["morning-briefing"])
    client.post(link("c", letters()[-1]))

    subscribe("ann@example.com", weekend)

    assert [one.mailing_list.slug for one in Subscription.objects.mailable()] == [
        "morning-briefing"
    ]


def test_this_was_not_me_asks_first(client, asked, link):
    page = client.get(link("b", asked)).content.decode()

    assert "A•••@example.com" in page
    assert Subscription.objects.get().is_pending
    assert not Suppression.objects.exists()


def test_this_was_not_me_ends_the_request_and_keeps_new_ones_away(
    client, asked, link, sign_up, letters
):
    client.post(link("b", asked))
    client.post(link("b", asked))

    assert Subscription.objects.get().end_reason == Subscription.EndReason.NOT_ME
    assert Suppression.objects.count() == 1
    assert Consent.objects.filter(action=Consent.Action.WITHDRAWN).count() == 1
    client.post(link("c", asked))
    assert not Subscription.objects.confirmed().exists()
    with time_machine.travel(time.time() + DAY):
        sign_up("ann@example.com")
    assert len(letters()) == 1


def test_this_was_not_me_stops_a_letter_that_waits(client, sign_up, letters, publication):
    sign_up("ann@example.com")
    subscriber = Subscriber.objects.get()

    client.post(f"/b/{sign(Purpose.BLOCK, subscriber.pk, int(time.time()))}")

    assert letters() == []
    assert Letter.objects.get().given_up_at is not None


def test_this_was_not_me_leaves_alone_what_its_owner_confirmed(
    client, subscribe, sign_up, weekend, letters, link
):
    mine = subscribe("ann@example.com")
    sign_up("ann@example.com", lists=["weekend-reader"])

    client.post(link("b", letters()[0]))

    assert list(Subscription.objects.mailable()) == [mine]


def test_who_said_not_me_is_not_mailed_however_he_gets_onto_a_list_later(
    client, asked, link, subscribe, weekend
):
    client.post(link("b", asked))

    subscribe("ann@example.com", weekend)

    assert not Subscription.objects.mailable().exists()


def test_made_up_refusals_look_the_same_and_change_nothing(client, asked, link):
    real, made_up = client.post(link("b", asked)), client.post("/b/abc")

    assert real.content == made_up.content
    assert Suppression.objects.count() == 1
