"""Handing over to many readers in one call, by what each provider lets us say."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Fate, Message, SendersFaultError, UnreachableError
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.anymail import batches
from newsletter.delivery.transports.anymail.providers import PROVIDERS
from newsletter.models import Article, Campaign
from newsletter.reports import Progress, progress
from tests.newsletter.sending import confirmed_readers, start, work
from tests.newsletter.transports import hand_over, messages, wait_for
from tests.providers import HANG_UP, SILENCE, Status, provider

LIMITS = {
    "amazon-ses": 50,
    "brevo": 1000,
    "mailgun": 1000,
    "mailjet": 50,
    "postmark": 500,
    "resend": 100,
    "sendgrid": 1000,
    "sparkpost": 1000,
}
WITH_KEYS = ["brevo", "resend"]
WITHOUT_KEYS = sorted(LIMITS.keys() - WITH_KEYS)
# Those that refuse a whole call for one address that is none, and do not say which.
ALL_OR_NONE = ["brevo", "mailgun", "sendgrid"]
# And those that say of each reader what became of them.
TELL = ["amazon-ses", "mailjet", "postmark", "resend"]


@pytest.fixture(params=sorted(LIMITS))
def name(request):
    return request.param


@pytest.fixture
def fake(name, settings):
    with provider(name) as fake:
        settings.MAILERS = {"default": fake.mailer}
        yield fake


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(batches, "_PAUSES", (0.0, 0.0))


def only(*names):
    return pytest.mark.parametrize("name", names, indirect=True)


def named(campaign, *names):
    """To readers of these names."""
    mailing = Mailing(compile_versions(campaign)[0])
    return [
        Message(mailing, Reader(number, f"reader{number}@example.com", name, 1), campaign.pk)
        for number, name in enumerate(names, 1)
    ]


def write(campaign, body, headline="Storm"):
    article = campaign.entries.get().article_id
    Article.objects.filter(pk=article).update(body=body, headline=headline)
    campaign.subject = ""
    campaign.save()


def test_one_call_is_for_as_many_readers_as_the_provider_takes(campaign, fake, name):
    account = hand_over(messages(campaign, 2 * LIMITS[name] + 1))

    assert [call.readers for call in fake.calls].count(LIMITS[name]) == 2
    assert len(fake.calls) == 3
    assert account.fates() == {Fate.SENT: 2 * LIMITS[name] + 1}
    assert all(outcome.provider_id for outcome in account.outcomes)


def test_two_calls_are_in_hand_at_most(fake, name):
    with Transports() as transports:
        assert transports["default"].call == LIMITS[name]
        assert transports["default"].in_hand == 2 * LIMITS[name]


def test_nobody_sees_the_address_of_another(campaign, fake):
    hand_over(messages(campaign, 3))

    for message in fake.received:
        others = {f"reader{number}@" for number in (1, 2, 3)} - {message.address[:8]}
        assert message.headers["To"] == message.address
        assert not any(other in repr(message) for other in others)


def test_every_reader_gets_their_own_links_and_ids(campaign, fake):
    taken = messages(campaign, 3)

    hand_over(taken)

    for message, received in zip(taken, fake.received, strict=True):
        headers = message.mailing.parts(message.reader, campaign.created_at).headers
        assert received.header("List-Unsubscribe") == headers["List-Unsubscribe"]
        assert received.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
        assert headers["List-Unsubscribe"][1:-1] in received.text
        ours = {"campaign": str(campaign.pk), "subscriber": str(message.reader.subscriber_id)}
        assert received.metadata.items() >= ours.items()


@only("mailgun", "mailjet", "postmark", "sendgrid", "sparkpost")
def test_nothing_is_counted_and_no_way_out_but_ours_put_in(campaign, fake):
    """The others' are settings of an account or a domain."""
    (message,) = messages(campaign, 1)

    hand_over([message])

    (received,) = fake.received
    html = message.mailing.parts(message.reader, campaign.created_at).html
    assert received.html.count("<a ") == html.count("<a ")
    assert received.html.count("<img") == html.count("<img")
    assert [header.lower() for header in received.headers].count("list-unsubscribe") == 1


@pytest.mark.parametrize("reader", ["O’Neill <b> & “Sons” 'n' \"Co\"", "{{ x }}{% y %}", "100%"])
def test_a_name_arrives_as_it_is_written(campaign, fake, reader):
    write(campaign, "<p>Dear {{ name }}, {{{name}}} %recipient.x% \\{{name}}</p>", "To {{ name }}")
    (message,) = named(campaign, reader)

    hand_over([message])

    (received,) = fake.received
    parts = message.mailing.parts(message.reader, campaign.created_at)
    assert received.subject.replace("\u2060", "") == parts.subject
    assert received.text.replace("\u2060", "").replace("\r\n", "\n") == parts.text
    assert received.html.replace("\u2060", "").replace("\r\n", "\n") == parts.html


@pytest.mark.parametrize(
    "text",
    [
        "{{ x }}",
        "{{{ x }}}",
        "\\{{x}}",
        "{% if x %}",
        "{# x #}",
        "%recipient.x% %recipient_email%",
        "%unsubscribe_url%",
        "[[var:x]] [[data:x:y]]",
        "*|NAME|*",
        "{{{ pm:unsubscribe }}}",
        "a{b}c {",
    ],
)
def test_an_articles_text_is_nobodys_syntax(campaign, fake, text):
    write(campaign, f"<p>One {text}</p><p>{text}{{{{ name }}}}{text}</p>")

    hand_over(named(campaign, "Ann"))

    (received,) = fake.received
    assert f"One {text}" in received.text.replace("\u2060", "")
    assert f"{text}Ann{text}" in received.text.replace("\u2060", "")


def test_a_reader_to_whom_nothing_can_be_written_fails_alone(campaign, fake):
    taken = messages(campaign, 3)
    taken[1] = taken[1]._replace(reader=taken[1].reader._replace(address="no address"))

    account = hand_over(taken)

    assert account.fate(2) is Fate.FAILED
    assert account.fates() == {Fate.SENT: 2, Fate.FAILED: 1}


@only(*ALL_OR_NONE, *TELL)
def test_a_reader_whom_they_refuse_fails_alone(campaign, fake):
    fake.invalid.add("reader7@example.com")

    account = hand_over(messages(campaign, 20))

    assert account.addresses(Fate.FAILED) == ["reader7@example.com"]
    assert account.fates() == {Fate.SENT: 19, Fate.FAILED: 1}
    assert Counter(message.address for message in fake.received).total() == 19
    assert account.of(7).text


@only("sparkpost")
def test_sparkpost_tells_of_a_refused_reader_only_the_domain(campaign, fake):
    taken = messages(campaign, 5)
    taken[0] = taken[0]._replace(reader=taken[0].reader._replace(address="reader1@bad.example"))
    fake.invalid |= {"reader1@bad.example", "reader2@example.com"}

    alone = hand_over(taken[:1])
    mixed = hand_over([taken[0], *taken[2:]])
    unclear = hand_over(taken[1:])

    assert alone.fates() == {Fate.FAILED: 1}
    assert mixed.addresses(Fate.FAILED) == ["reader1@bad.example"]
    assert unclear.fates() == {Fate.SENT: 4}


@only(*ALL_OR_NONE)
def test_where_all_are_refused_it_is_our_message(campaign, fake):
    taken = messages(campaign, 200)
    fake.invalid |= {message.reader.address for message in taken}

    account = hand_over(taken)

    assert [type(error) for error in account.errors] == [SendersFaultError]
    assert account.fates() == {Fate.RETURNED: 200}
    assert len(fake.calls) < 40


@only("postmark")
def test_an_inactive_address_at_postmark_fails_and_is_no_hard_bounce(campaign, fake):
    """It may be that of one who complained."""
    fake.inactive.add("reader2@example.com")

    account = hand_over(messages(campaign, 3))

    assert account.of(2).fate is Fate.FAILED
    assert account.of(2).code == "422 406"
    assert "inactive" in account.of(2).text


def test_too_many_calls_return_all_that_were_not_made(campaign, fake, name):
    fake.next(*[Status(429, retry_after=90)] * 2)

    account = hand_over(messages(campaign, 2 * LIMITS[name]))

    assert account.fates() == {Fate.RETURNED: 2 * LIMITS[name]}
    assert {type(error) for error in account.errors} == {UnreachableError}
    if name != "amazon-ses":
        assert account.errors[0].rest == timedelta(seconds=90)
    assert fake.received == []


def test_after_trouble_what_waited_is_returned_and_what_comes_then_is_tried(campaign, fake, name):
    fake.next(*[Status(429)] * 2)
    taken = messages(campaign, 4 * LIMITS[name])

    with Transports() as transports:
        transports["default"].take(taken, lambda: True)
        first = wait_for(transports, len(taken))
        transports["default"].take(taken[:3], lambda: True)
        second = wait_for(transports, 3)

    assert first.fates()[Fate.RETURNED] >= 2 * LIMITS[name]
    assert second.fates() == {Fate.SENT: 3}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_our_fault(campaign, fake, status):
    fake.next(Status(status))

    account = hand_over(messages(campaign, 3))

    assert [type(error) for error in account.errors] == [SendersFaultError]
    assert account.fates() == {Fate.RETURNED: 3}


def test_a_providers_own_error_defers_the_readers_of_that_call(campaign, fake, name):
    fake.next(Status(500), containing="reader1@example.com")

    account = hand_over(messages(campaign, LIMITS[name] + 1))

    assert account.fates() == {Fate.DEFERRED: LIMITS[name], Fate.SENT: 1}
    assert account.fate(LIMITS[name] + 1) is Fate.SENT


@only(*WITHOUT_KEYS)
@pytest.mark.parametrize("lost", [HANG_UP, SILENCE])
def test_whoever_was_in_a_call_without_an_answer_is_uncertain(campaign, fake, name, lost, settings):
    impatient(settings, name)
    fake.next(lost, containing="reader1@example.com")

    account = hand_over(messages(campaign, LIMITS[name] + 1))

    assert account.fates() == {Fate.UNCERTAIN: LIMITS[name], Fate.SENT: 1}
    assert len(fake.calls) == 2


def impatient(settings, name):
    options = settings.MAILERS["default"]["OPTIONS"]
    if name == "amazon-ses":
        client = options["client_params"]
        client["config"] = {**client.get("config", {}), "read_timeout": 0.5}
    else:
        options["timeout"] = 0.5


@only(*WITH_KEYS)
@pytest.mark.parametrize("lost", [HANG_UP, SILENCE])
def test_with_a_key_an_answer_that_did_not_come_is_asked_for_again(
    campaign, fake, name, lost, settings
):
    impatient(settings, name)
    fake.next(lost)

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.SENT: 3}
    assert len(fake.calls) == 2
    assert len(fake.received) == 3


@only(*WITH_KEYS)
def test_what_stays_unknown_is_uncertain_whatever_else_they_say(campaign, fake):
    fake.next(HANG_UP, Status(429), Status(500))

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.UNCERTAIN: 3}
    assert account.errors == []


@only(*WITH_KEYS)
def test_the_same_readers_asked_for_twice_get_it_once(campaign, fake):
    """Also by another worker, who does not know of the first."""
    taken = messages(campaign, 3)

    hand_over(taken)
    again = hand_over(taken)
    hand_over(taken[:2])

    assert again.fates() == {Fate.SENT: 3}
    assert len(fake.received) == 5


@only(*WITH_KEYS)
def test_a_test_mail_is_a_new_one_each_time(campaign, fake):
    (message,) = messages(campaign, 1)
    nobodys = message._replace(reader=message.reader._replace(subscriber_id=0))

    hand_over([nobodys])
    hand_over([nobodys])

    assert len(fake.received) == 2


def test_a_worker_that_lost_its_batch_makes_no_call(campaign, fake):
    account = hand_over(messages(campaign, 3), is_ours=lambda: False)

    assert account.fates() == {Fate.RETURNED: 3}
    assert fake.calls == []


def test_a_provider_that_cannot_be_reached_gets_nobody(campaign, fake, name, settings):
    options = settings.MAILERS["default"]["OPTIONS"]
    if name == "amazon-ses":
        options["client_params"]["endpoint_url"] = "http://127.0.0.1:9"
    else:
        options["api_url"] = "http://127.0.0.1:9/"

    account = hand_over(messages(campaign, 3))

    assert {type(error) for error in account.errors} == {UnreachableError}
    assert account.fates() == {Fate.RETURNED: 3}


@pytest.mark.parametrize(("name", "most"), [("Postmark", 500), ("Resend", 100), ("Mailjet", 50)])
def test_a_call_weighs_no_more_than_they_take(campaign, name, most):
    provider = PROVIDERS[name]
    usual = Mailing(compile_versions(campaign)[0])
    write(campaign, f"<p>{'ж' * 40_000}</p>")
    heavy = Mailing(compile_versions(campaign)[0])

    assert provider.room(usual) == most
    assert provider.room(heavy) < most
    assert provider.room(heavy) * heavy.weight < provider.bytes


@only("mailgun", "resend")
def test_calls_are_filled_past_those_who_may_not_be_mailed(campaign, briefing, fake, name):
    people = confirmed_readers(250, briefing)
    start(campaign)
    for person in people[20:40]:
        person.subscriptions.update(ended_at=timezone.now(), end_reason="unsubscribed")

    work()

    assert campaign.finish()
    assert progress(campaign) == Progress(audience=250, sent=230, skipped=20)
    assert len(fake.calls) == -(-230 // LIMITS[name])


@only("mailgun")
def test_a_refused_key_pauses_the_campaign_in_their_words(campaign, briefing, fake):
    confirmed_readers(5, briefing)
    start(campaign)
    fake.next(Status(401))

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "Forbidden" in campaign.trouble
    assert progress(campaign) == Progress(audience=5)


@only("amazon-ses")
def test_amazon_is_not_asked_again_behind_our_back(campaign, fake):
    fake.next(*[Status(500)] * 3)

    hand_over(messages(campaign, 3))

    assert len(fake.calls) == 1


@only("sendgrid")
def test_no_text_can_be_a_field_at_sendgrid(campaign, fake):
    hand_over(messages(campaign, 1))

    (one,) = json.loads(fake.calls[0].body)["personalizations"]
    assert all(len(tag) > 20 for tag in one["substitutions"])
