"""What each provider is told in one call for many readers, and what they get."""

import json

import pytest
from django.utils import timezone

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Fate, Message
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.anymail.providers import PROVIDERS
from newsletter.models import Article, planning
from newsletter.reports import Progress, progress
from tests.newsletter.batches import LIMITS, only
from tests.newsletter.sending import another, confirmed_readers, start, work
from tests.newsletter.transports import hand_over, messages
from tests.providers import provider


@pytest.fixture(params=sorted(LIMITS))
def name(request):
    return request.param


@pytest.fixture
def fake(name, settings):
    with provider(name) as fake:
        settings.MAILERS = {"default": fake.mailer}
        yield fake


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


@pytest.mark.parametrize(("name", "most"), [("Postmark", 500), ("Resend", 100), ("Mailjet", 50)])
def test_a_call_weighs_no_more_than_they_take(campaign, name, most):
    provider = PROVIDERS[name]
    usual = Mailing(compile_versions(campaign)[0])
    write(campaign, f"<p>{'ж' * 40_000}</p>")
    heavy = Mailing(compile_versions(campaign)[0])

    assert provider.room(usual) == most
    assert provider.room(heavy) < most
    assert provider.room(heavy) * heavy.weight < provider.bytes


def test_batches_are_cut_into_whole_calls_of_every_provider():
    sizes = [planning.BATCH, *planning.FIRST_PLACES]

    assert not any(size % each.readers for size in sizes for each in PROVIDERS.values())


@only("mailgun", "resend")
def test_calls_are_filled_past_those_who_may_not_be_mailed(campaign, briefing, fake, name):
    people = confirmed_readers(250, briefing)
    start(campaign)
    for person in people[20:80]:
        person.subscriptions.update(ended_at=timezone.now(), end_reason="unsubscribed")

    work()

    assert campaign.finish()
    assert progress(campaign) == Progress(audience=250, sent=190, skipped=60)
    assert len(fake.calls) == -(-190 // LIMITS[name])


@only("sparkpost")
def test_sparkpost_is_asked_for_no_way_out_of_its_own(campaign, fake):
    hand_over(messages(campaign, 1))

    assert fake.calls[0].json["options"]["transactional"] is True


@only("sendgrid")
def test_no_text_can_be_a_field_at_sendgrid(campaign, fake):
    hand_over(messages(campaign, 1))

    (one,) = json.loads(fake.calls[0].body)["personalizations"]
    assert all(len(tag) > 20 for tag in one["substitutions"])


def test_each_call_has_one_wording(campaign, briefing, fake):
    other = another(campaign, briefing)
    taken = [
        message
        for pair in zip(messages(campaign, 3), messages(other, 3, first=11), strict=True)
        for message in pair
    ]

    hand_over(taken)

    assert sorted(call.readers for call in fake.calls) == [3, 3]
    subjects = {received.address: received.subject for received in fake.received}
    for message in taken:
        parts = message.mailing.parts(message.reader, timezone.now())
        assert subjects[message.reader.address] == parts.subject
