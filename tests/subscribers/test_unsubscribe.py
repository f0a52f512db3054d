"""The way out: one click, for ever, for everybody (RFC 8058, UNS)."""

import http.client
import time
from urllib.parse import urlsplit

import pytest
import time_machine

from subscribers.models import Consent, Evidence, Subscription, Suppression
from subscribers.tokens import Purpose, sign

ONE_CLICK = "List-Unsubscribe=One-Click"
HOUR = 60 * 60


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com")


def way_out(subscription, campaign=0):
    numbers = (subscription.subscriber_id, subscription.mailing_list_id, campaign)
    return f"/u/{sign(Purpose.UNSUBSCRIBE, *numbers)}"


def is_mailed(subscription):
    return Subscription.objects.mailable().filter(subscriber=subscription.subscriber).exists()


BODIES = {
    "urlencoded": ("application/x-www-form-urlencoded", ONE_CLICK),
    "with charset": ("application/x-www-form-urlencoded; charset=iso-8859-1", ONE_CLICK + "\r\n"),
    "multipart": (
        "multipart/form-data; boundary=b",
        '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--',
    ),
    "broken multipart": ("multipart/form-data", "--b\r\nnothing"),
    "empty": ("application/x-www-form-urlencoded", ""),
    "no type": (None, ONE_CLICK),
    "no type, empty": (None, ""),
    "odd type": ("text/plain; charset=nonesuch", ONE_CLICK),
    "json": ("application/json", "{"),
    "more fields": ("application/x-www-form-urlencoded", ONE_CLICK + "&" + "a=1&" * 2000),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_bare_client_leaves_with_one_post(live_server, publication, ann, body, slash):
    kind, content = BODIES[body]
    connection = http.client.HTTPConnection(urlsplit(live_server.url).netloc, timeout=10)
    headers = {"Content-Type": kind} if kind else {}

    connection.request("POST", way_out(ann) + slash, content, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 200
    assert answer.getheader("Location") is None
    assert answer.getheader("Set-Cookie") is None
    assert not is_mailed(ann)
    assert Consent.objects.get(action="withdrawn").method == Consent.Method.ONE_CLICK


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "TRACE"])
def test_nothing_but_post_makes_anybody_leave(live_server, ann, method):
    connection = http.client.HTTPConnection(urlsplit(live_server.url).netloc, timeout=10)

    connection.request(method, way_out(ann), headers={"Sec-Purpose": "prefetch"})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status in {200, 405}
    assert is_mailed(ann)


def test_the_page_asks_with_one_button_and_masks_the_address(client, ann):
    page = client.get(way_out(ann)).content.decode()

    assert page.count("<button") == 1
    assert "Leave Morning Briefing?" in page
    assert "a•••@example.com" in page
    assert "ann@example.com" not in page
    assert "<script" not in page


def test_the_button_leaves_at_once_and_is_recorded(client, ann):
    answer = client.post(f"{way_out(ann)}?by=hand", headers={"User-Agent": "Mosaic/1.0"})

    assert answer.status_code == 200
    assert "You’re off the list. Changed your mind?" in answer.content.decode()
    consent = Consent.objects.get(action=Consent.Action.WITHDRAWN)
    assert (consent.method, consent.browser) == (Consent.Method.LINK, "Mosaic/1.0")
    assert consent.network_address == "127.0.0.1"


def test_what_came_from_a_campaign_says_so(client, ann):
    client.post(way_out(ann, campaign=7))

    assert Consent.objects.get(action="withdrawn").source == "campaign:7"


def test_leaving_ten_times_is_leaving_once(client, ann):
    answers = [client.post(way_out(ann)) for _time in range(10)]

    assert {answer.status_code for answer in answers} == {200}
    assert Consent.objects.filter(action="withdrawn").count() == 1
    assert Suppression.objects.count() == 1


def test_leaving_one_list_leaves_the_others_alone(client, ann, subscribe, weekend):
    other = subscribe("ann@example.com", weekend)

    client.post(way_out(ann))

    assert list(Subscription.objects.mailable()) == [other]


def test_a_made_up_link_gets_the_same_page_and_changes_nothing(client, ann):
    token = way_out(ann)
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")

    answer = client.post(forged)

    assert answer.status_code == 200
    assert "You’re off the list" in answer.content.decode()
    assert is_mailed(ann)
    assert not Consent.objects.filter(action="withdrawn").exists()


def test_the_link_of_somebody_erased_gets_the_same_page(client, ann):
    numbers = (10**9, ann.mailing_list_id, 0)

    get = client.get(f"/u/{sign(Purpose.UNSUBSCRIBE, *numbers)}")
    post = client.post(f"/u/{sign(Purpose.UNSUBSCRIBE, *numbers)}")

    assert "Leave Morning Briefing?" in get.content.decode()
    assert "We send you no more of Morning Briefing." in post.content.decode()


def test_a_link_works_for_ever_and_after_the_key_changed(client, ann, settings):
    settings.LINK_KEYS = ["first"]
    old = way_out(ann)
    settings.LINK_KEYS = ["second", "first"]

    with time_machine.travel(time.time() + 20 * 365 * 24 * HOUR):
        client.post(old)

    assert not is_mailed(ann)


def test_somebody_who_has_not_confirmed_can_leave_too(client, sign_up, publication):
    sign_up("ann@example.com")
    waiting = Subscription.objects.get()

    client.post(way_out(waiting))

    assert Subscription.objects.get().end_reason == Subscription.EndReason.UNSUBSCRIBED


def test_undo_is_a_new_period_with_its_own_evidence(client, ann, link):
    undo = link("r", client.post(way_out(ann)))

    answer = client.post(undo)

    assert "You’re back" in answer.content.decode()
    assert is_mailed(ann)
    assert Subscription.objects.count() == 2
    actions = Consent.objects.filter(method=Consent.Method.UNDO).values_list("action", flat=True)
    assert list(actions) == ["given", "confirmed"]


def test_undoing_twice_is_one_period(client, ann, link):
    undo = link("r", client.post(way_out(ann)))

    answers = [client.post(undo) for _time in range(3)]

    assert {answer.content for answer in answers} == {answers[0].content}
    assert Subscription.objects.count() == 2


def test_who_left_again_is_not_brought_back_by_the_first_undo(client, ann, link):
    undo = link("r", client.post(way_out(ann)))
    client.post(undo)
    client.post(way_out(ann))

    answer = client.post(undo)

    assert "The hour is over" in answer.content.decode()
    assert not is_mailed(ann)


def test_undo_minds_no_other_list_and_no_other_reader(client, ann, link, subscribe, weekend):
    undo = link("r", client.post(way_out(ann)))
    subscribe("ann@example.com", weekend)
    subscribe("bob@example.com")

    client.post(undo)

    assert Subscription.objects.mailable().filter(mailing_list=ann.mailing_list).count() == 2


def test_looking_at_undo_changes_nothing(client, ann, link):
    undo = link("r", client.post(way_out(ann)))

    for method in ["get", "head", "options"]:
        assert getattr(client, method)(undo).status_code == 200

    assert not is_mailed(ann)


def test_undo_is_on_offer_for_an_hour(client, ann, link):
    undo = link("r", client.post(way_out(ann)))

    with time_machine.travel(time.time() + HOUR + 60):
        late = client.post(undo)

    assert "The hour is over" in late.content.decode()
    assert not is_mailed(ann)


def test_a_forwarded_mail_brings_nobody_back_who_left_long_ago(client, ann):
    client.post(way_out(ann))

    with time_machine.travel(time.time() + 30 * 24 * HOUR):
        page = client.post(way_out(ann)).content.decode()

    assert "/r/" not in page
    assert "Sign up again" in page


def test_complaining_cannot_be_undone_by_a_link(client, ann):
    ann.end(Subscription.EndReason.COMPLAINED, Evidence(method=Consent.Method.STAFF))

    answer = client.post(f"/r/{sign(Purpose.UNDO, ann.pk, int(time.time()))}")

    assert "The hour is over" in answer.content.decode()
    assert Subscription.objects.count() == 1


def test_a_made_up_undo_reads_like_a_late_one(client, publication):
    assert "The hour is over" in client.post("/r/abc").content.decode()


def test_no_path_mails_somebody_who_left(client, ann, subscribe):
    client.post(way_out(ann))

    subscribe("ann@example.com")

    assert not is_mailed(ann)


def test_the_button_of_a_reader_already_gone_says_that_he_is(client, ann):
    client.post(way_out(ann))

    assert "You’re off the list" in client.get(way_out(ann)).content.decode()
