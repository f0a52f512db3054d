"""A campaign through each provider's API: 2,500 readers, each message as its reader gets it."""

import html
import re
from email.header import decode_header, make_header
from email.utils import parseaddr
from itertools import cycle, islice

import pytest
from django.db import connection
from django.utils import timezone

from newsletter.content import Mailing, Reader
from newsletter.models import Article, Campaign, Event
from newsletter.models.events import Report
from newsletter.reports import Progress, progress
from subscribers import tokens
from subscribers.models import Breaker, MailingList, Sender, Subscriber, Subscription
from subscribers.tokens import Purpose
from tests.newsletter.sending import bring_forward, closed, finish_with_time, start, statuses, work
from tests.providers import HANG_UP, Status, provider

READERS = 2500
# How many readers a call takes, by the providers' documentation.
CALLS = {
    "amazon-ses": 50,
    "brevo": 1000,
    "mailgun": 1000,
    "mailjet": 50,
    "postmark": 500,
    "resend": 100,
    "sendgrid": 1000,
    "sparkpost": 1000,
}
# Those that know a call again by its key.
WITH_KEYS = {"brevo", "resend"}
# Whose answer tells that a reader bounced earlier; the others say so by an event.
TELLS_OF_INACTIVE = {"postmark"}
# Who only counts how many addresses of a call are none.
COUNTS_INVALID = {"sparkpost"}
# Who never says how long to wait.
SAYS_NO_REST = {"amazon-ses"}
# Headers of ours that a provider writes itself, or does not let us write; at Brevo a name that is
# not ASCII is left out.
WRITTEN_BY = {
    "amazon-ses": {"Message-ID"},
    "brevo": {"Message-ID", "List-Id"},
    "mailgun": {"Message-ID"},
    "mailjet": {"Message-ID", "List-Id"},
    "resend": {"Message-ID"},
}

STRAY = (
    "{{ 7*7 }} {{x}} {{{ x }}} {% if x %} {# x #} %recipient.x% %recipient_email% %unsubscribe_url%"
    " [[var:x]] [[data:x]] [[UNSUB_LINK_EN]] *|X|* -x- {{params.x}} {{ unsubscribe }}"
    " {{ contact.X }} {{var:x}} {{{ pm:unsubscribe }}} {{address.name}} {{end}} \\{{x}}"
    " {{{{x}}}} }}{{ 100% {"
)
NAMES = ["", "Ann", 'Ann <b>&"{{x}}', "Zoë O’Neill", "%recipient.x% [[var:x]] {% x %} -x-"]
LEAVE = re.compile(r"http://localhost:8000/u/(\w+)")
ADDRESS = re.compile(r"reader\d+@example\.org")
ENTITY = re.compile(r"&(?:#\d+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);")
# Between braces that somebody would take for syntax, and that nobody sees.
JOINER = "\u2060"

pytestmark = pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")


@pytest.fixture(params=sorted(CALLS))
def name(request):
    return request.param


@pytest.fixture
def fake(name, settings):
    with provider(name) as fake:
        settings.MAILERS = {"default": fake.mailer}
        yield fake


@pytest.fixture
def crowd(campaign, briefing):
    """A campaign that is under way to 2,500 readers, with all that could be taken for syntax."""
    Article.objects.filter(pk=campaign.entries.get().article_id).update(
        headline="Storm {{x}} %recipient.x% [[var:x]] {{{ pm:unsubscribe }}} {% x %} {",
        body=f"<p>Warm &amp; <em>well</em> {STRAY}</p>",
    )
    campaign.subject = "{{ name|dear reader }}: the ferry {{ 7*7 }} %recipient.x% [[var:x]]"
    campaign.save()
    Sender.objects.update(name="Désk, “Harbour”", reply_to="letters@harbour.example")
    MailingList.objects.update(name="Morgenpost für Zoë")
    _subscribe(READERS, briefing)
    return start(campaign)


@pytest.fixture
def few(campaign, briefing):
    _subscribe(20, briefing)
    return start(campaign)


def _subscribe(count, mailing_list):
    people = Subscriber.objects.bulk_create(
        Subscriber(
            identity=f"reader{number}@example.org",
            address=f"reader{number}@example.org",
            domain="example.org",
            suppression_key=f"1:{number:032x}",
            name=name,
        )
        for number, name in enumerate(islice(cycle(NAMES), count))
    )
    Subscription.objects.bulk_create(
        Subscription(subscriber=person, mailing_list=mailing_list, confirmed_at=timezone.now())
        for person in people
    )
    with connection.cursor() as cursor:
        # PostgreSQL would take the tables for as empty as they were, and look at every row.
        cursor.execute("ANALYZE")


def test_everybody_gets_their_own_message_in_as_few_calls_as_can_be(crowd, briefing, fake, name):
    work()

    assert crowd.finish()
    assert progress(crowd) == Progress(audience=READERS, sent=READERS)
    assert len(fake.calls) == -(-READERS // CALLS[name])
    assert len(fake.received) == READERS
    mailing = Mailing(crowd.versions.get())
    readers = {person.address: person for person in Subscriber.objects.all()}
    for message in fake.received:
        person = readers.pop(message.address)
        reader = Reader(person.pk, person.address, person.name, briefing.pk)
        _is_right(message, mailing.parts(reader, timezone.now()), WRITTEN_BY.get(name, set()))
        assert _tokens(message) == {(person.pk, briefing.pk, crowd.pk)}
        assert message.header("To") == person.address
        assert _named(message.header("From")) == ("Désk, “Harbour”", "news@harbour.example")
        assert _named(message.header("Reply-To")) == ("", "letters@harbour.example")
        ours = {"campaign": str(crowd.pk), "subscriber": str(person.pk)}
        assert message.metadata.items() >= ours.items()
    assert readers == {}


def _is_right(message, parts, written_by_provider):
    assert message.subject.replace(JOINER, "") == parts.subject
    assert message.text.replace(JOINER, "").replace("\r\n", "\n") == parts.text
    assert _canonical(message.html) == _canonical(parts.html)
    for name in parts.headers.keys() - written_by_provider:
        assert _decoded(message.header(name)) == _decoded(parts.headers[name])
    whole = f"{message.text}{message.html}{message.headers}{message.metadata}"
    assert set(ADDRESS.findall(whole)) == {message.address}


def _named(mailbox):
    return parseaddr(_decoded(mailbox))


def _decoded(header):
    return str(make_header(decode_header(header)))


def _canonical(page):
    """With everything that needs no entity as itself, so that what differs reads differently."""
    return ENTITY.sub(_character, page.replace(JOINER, "")).replace("\r\n", "\n")


def _character(entity):
    return html.escape(html.unescape(entity[0]))


def _tokens(message):
    places = [message.header("List-Unsubscribe"), message.text, message.html]
    found = {token for place in places for token in LEAVE.findall(place)}
    assert all(LEAVE.search(place) for place in places)
    return {tokens.read(Purpose.UNSUBSCRIBE, token) for token in found}


def test_nobody_is_lost_and_nobody_gets_two_whatever_they_answer(crowd, fake, name):
    fake.invalid.add("reader20@example.org")
    fake.inactive.add("reader30@example.org")
    fake.next(Status(500), Status(429, retry_after=60), containing="reader0@example.org")
    fake.next(Status(429, retry_after=60), Status(503), containing="reader2400@example.org")
    fake.next(HANG_UP, containing="reader1500@example.org")

    finish_with_time(crowd)

    cut_off = {message.address for message in fake.received if not fake.calls[message.call].status}
    by_status = {}
    for address, (status, _code) in statuses(crowd).items():
        by_status.setdefault(status, set()).add(address)
    unknown = set() if name in WITH_KEYS else cut_off
    assert by_status.pop("uncertain", set()) == unknown
    assert cut_off
    failed = set() if name in COUNTS_INVALID else {"reader20@example.org"}
    failed |= {"reader30@example.org"} if name in TELLS_OF_INACTIVE else set()
    assert by_status.pop("failed", set()) == failed
    assert len(by_status.pop("sent")) == READERS - len(unknown) - len(failed)
    assert by_status == {}
    addresses = [message.address for message in fake.received]
    assert len(addresses) == len(set(addresses)) == READERS - 2


def test_what_a_provider_reports_later_settles_whom_nobody_knew_of(few, fake, name):
    fake.next(HANG_UP)
    work()
    assert few.finish()
    expected = {"sent": 20} if name in WITH_KEYS else {"uncertain": 20}
    assert progress(few) == Progress(audience=20, **expected)

    assert Event.objects.record(_delivered(message, name) for message in fake.received) == 20

    assert closed(few) == Progress(audience=20, sent=20)


def _delivered(message, name):
    """As their webhook tells it: with what we gave along, and none of our addresses."""
    return Report(
        source=name,
        event_id=f"{message.call}-{message.metadata['subscriber']}",
        kind=Event.Kind.DELIVERED,
        at=timezone.now(),
        campaign=int(message.metadata["campaign"]),
        subscriber=int(message.metadata["subscriber"]),
    )


def test_too_many_calls_make_everybody_wait_as_long_as_they_ask(few, fake, name):
    asked = None if name in SAYS_NO_REST else 120
    fake.next(Status(429, asked))

    work()

    rest = (few.batches.get().due_at - timezone.now()).total_seconds()
    assert rest == pytest.approx(asked or 5, abs=10)
    assert rest > 0
    bring_forward(few)
    work()
    assert few.finish()
    assert len(fake.received) == 20


def test_a_key_that_is_refused_pauses_the_campaign(few, fake):
    fake.next(Status(401), Status(401))

    work()

    few.refresh_from_db()
    assert few.status == Campaign.Status.PAUSED
    assert progress(few) == Progress(audience=20)
    assert not fake.received


def test_a_provider_that_fails_of_everybody_counts_as_one_that_is_down(campaign, briefing, fake):
    """Else no standby would ever take over."""
    _subscribe(60, briefing)
    start(campaign)
    fake.next(*[Status(500)] * 5)

    work()

    assert progress(campaign).sent == 0
    assert Breaker.objects.get().failures == 1
