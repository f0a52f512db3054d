"""Who runs the mailboxes of a domain: by name, by MX, and "other" until somebody knows."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from subscribers import mailbox_providers, name_servers, tasks
from subscribers.models import MailDomain, Subscriber, domains
from tests.name_server import answering

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def name_server(settings, monkeypatch):
    """A server that knows no domain yet, and that nobody waits long for."""
    monkeypatch.setattr(name_servers, "_PATIENCE", 0.4)
    monkeypatch.setattr(name_servers, "_ONE_TRY", 0.2)
    with answering() as server:
        settings.DNS_SERVERS = [server.address]
        yield server


def providers(*names):
    return MailDomain.objects.providers(names)


def look_up(name):
    """Ask about it, let the name server tell, and ask again."""
    providers(name)
    MailDomain.objects.look_up()
    domains.forget()
    return providers(name)[name]


def test_domains_that_all_know_are_asked_of_nobody(django_assert_num_queries):
    with django_assert_num_queries(0):
        found = providers("gmail.com", "hotmail.fr", "aol.com", "web.de", "laposte.net")

    assert list(found.values()) == ["gmail", "microsoft", "yahoo", "gmx", "laposte"]
    assert not MailDomain.objects.exists()


def test_a_strange_domain_is_other_and_noted_to_be_looked_up():
    assert providers("harbour.news", "gmail.com") == {"harbour.news": "other", "gmail.com": "gmail"}

    assert MailDomain.objects.due().get().name == "harbour.news"


def test_an_answer_is_remembered_by_the_process(django_assert_num_queries):
    providers("harbour.news", "quay.news")

    with django_assert_num_queries(0):
        providers("harbour.news", "quay.news")


def test_many_strange_domains_are_one_question(django_assert_num_queries):
    names = [f"paper{number}.news" for number in range(300)]
    providers(*names)
    domains.forget()

    with django_assert_num_queries(1):
        assert len(providers(*names)) == 300


def test_what_was_noted_twice_at_once_is_one_row():
    providers("harbour.news")
    domains.forget()
    MailDomain.objects.all()._note(["harbour.news"])

    assert MailDomain.objects.count() == 1


def test_domains_of_examples_and_tests_are_never_looked_up():
    names = ["example.org", "harbour.example", "mail.harbour.test", "localhost"]

    assert set(providers(*names).values()) == {"other"}
    assert not MailDomain.objects.exists()


def test_a_row_speaks_for_a_domain_of_examples_too():
    MailDomain.objects.create(
        name="quay.example", mailbox_provider="quay", due_at=timezone.now() + DAY
    )

    assert providers("quay.example") == {"quay.example": "quay"}


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("aspmx.l.google.com", "gmail"),
        ("smtp.google.com", "gmail"),
        ("ASPMX2.GOOGLEMAIL.COM", "gmail"),
        ("harbour-news.mail.protection.outlook.com", "microsoft"),
        ("harbour-news.a-v1.mx.microsoft", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx0a-00123456.pphosted.com", "proofpoint"),
        ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
        ("mx00.ionos.de", "ionos"),
        ("mail.harbour.news", "other"),
        ("notgoogle.com", "other"),
    ],
)
def test_the_mail_exchange_tells_whose_the_mailboxes_are(name_server, host, provider):
    name_server.zones["harbour.news"] = [f"harbour.news. MX 10 {host}."]

    assert look_up("harbour.news") == provider


def test_the_preferred_exchange_counts(name_server):
    name_server.zones["harbour.news"] = [
        "harbour.news. MX 20 backup.harbour.news.",
        "harbour.news. MX 5 aspmx.l.google.com.",
    ]

    assert look_up("harbour.news") == "gmail"


def test_another_name_of_a_domain_leads_to_its_exchange(name_server):
    name_server.zones["www.harbour.news"] = [
        "www.harbour.news. CNAME harbour.news.",
        "harbour.news. MX 10 aspmx.l.google.com.",
    ]

    assert look_up("www.harbour.news") == "gmail"


def test_an_answer_too_long_for_udp_is_read_over_tcp(name_server):
    name_server.zones["harbour.news"] = "truncated"
    name_server.full["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]

    assert look_up("harbour.news") == "gmail"


@pytest.mark.parametrize("answer", ["nxdomain", [], ["harbour.news. MX 0 ."]])
def test_a_domain_without_exchange_is_nobodys_and_not_asked_about_again(name_server, answer):
    name_server.zones["harbour.news"] = answer

    assert look_up("harbour.news") == "other"
    assert MailDomain.objects.get().mailbox_provider == "other"
    assert not MailDomain.objects.due().exists()


def bring_forward():
    """Time passes: all are due."""
    MailDomain.objects.update(due_at=timezone.now() - DAY)


@pytest.mark.parametrize("answer", ["silence", "servfail", "rubbish", "truncated"])
def test_no_answer_is_unknown_yet_and_asked_for_later(name_server, answer):
    name_server.zones["harbour.news"] = answer
    name_server.full["harbour.news"] = "silence"

    assert look_up("harbour.news") == "other"

    row = MailDomain.objects.get()
    assert (row.mailbox_provider, row.looked_up_at, row.attempts) == ("", None, 1)
    assert timezone.now() < row.due_at < timezone.now() + timedelta(minutes=5)
    name_server.zones["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]
    bring_forward()
    assert look_up("harbour.news") == "gmail"


def test_the_rests_grow_to_a_day(name_server):
    name_server.zones["harbour.news"] = "servfail"
    providers("harbour.news")
    for _attempt in range(15):
        MailDomain.objects.look_up()
        bring_forward()

    MailDomain.objects.look_up()

    row = MailDomain.objects.get()
    assert row.attempts == 16
    assert row.due_at - timezone.now() > DAY * 0.9


def test_what_was_known_stays_while_nobody_answers(name_server):
    name_server.zones["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]
    look_up("harbour.news")
    name_server.zones["harbour.news"] = "servfail"
    MailDomain.objects.update(due_at=F("due_at") - 31 * DAY)

    assert look_up("harbour.news") == "gmail"
    assert MailDomain.objects.get().attempts == 1


def test_a_domain_that_moved_is_noticed_after_a_month(name_server):
    name_server.zones["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]
    look_up("harbour.news")
    name_server.zones["harbour.news"] = ["harbour.news. MX 1 harbour-news.mx.microsoft."]

    assert look_up("harbour.news") == "gmail"
    MailDomain.objects.update(due_at=F("due_at") - 31 * DAY)
    assert look_up("harbour.news") == "microsoft"


def test_one_look_up_takes_so_many_and_leaves_the_others(name_server):
    providers(*[f"paper{number}.news" for number in range(30)])

    assert MailDomain.objects.look_up(limit=20) == 20
    assert MailDomain.objects.look_up(limit=20) == 10
    assert MailDomain.objects.look_up(limit=20) == 0
    assert len(name_server.asked) == 30


def test_no_name_server_at_all_is_unknown_yet(settings):
    settings.DNS_SERVERS = ["127.0.0.1:1"]

    assert look_up("harbour.news") == "other"
    assert MailDomain.objects.get().attempts == 1


def test_a_name_that_cannot_be_asked_for_stops_nobody(name_server):
    name_server.zones["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]
    long = ".".join(["a" * 60] * 4) + ".news"

    providers("a..news", long, "b" * 64 + ".news")

    assert look_up("harbour.news") == "gmail"
    assert MailDomain.objects.filter(mailbox_provider="other").count() == 3


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_waits_for_no_name_server(name_server):
    name_server.zones["harbour.news"] = "silence"
    providers("harbour.news")

    tasks.look_for_unknown_domains()

    assert not MailDomain.objects.get().attempts
    [asking] = [thread for thread in threading.enumerate() if thread.name == "domains"]
    tasks.look_for_unknown_domains()
    assert sum(thread.name == "domains" for thread in threading.enumerate()) == 1
    asking.join(timeout=20)
    assert MailDomain.objects.get().attempts == 1


def test_every_provider_in_the_tables_has_one_name():
    assert len(set(mailbox_providers.NAMES)) == len(mailbox_providers.NAMES)
    assert all(
        len(name) <= 30 and name == name.lower() and "." not in name
        for name in mailbox_providers.NAMES
    )


def test_a_reader_is_at_whom_the_mx_tells(name_server, subscribe):
    ann, bob = subscribe("ann@harbour.news").subscriber, subscribe("bob@web.de").subscriber
    name_server.zones["harbour.news"] = ["harbour.news. MX 10 aspmx.l.google.com."]
    assert (ann.mailbox_provider, bob.mailbox_provider) == ("other", "gmx")

    look_up("harbour.news")

    assert ann.mailbox_provider == "gmail"
    assert readers_at("gmail") == {ann}
    assert readers_at("gmx") == {bob}


def readers_at(provider):
    return set(Subscriber.objects.filter(MailDomain.objects.run_by(provider, "domain")))


def test_the_admin_asks_the_name_servers_again(admin_client):
    MailDomain.objects.create(
        name="harbour.news", mailbox_provider="gmail", due_at=timezone.now() + DAY
    )
    url = reverse("admin:subscribers_maildomain_changelist")
    rows = list(MailDomain.objects.values_list("pk", flat=True))

    answer = admin_client.post(url, {"action": "look_up_again", "_selected_action": rows})

    assert answer.status_code == 302
    assert MailDomain.objects.due().exists()
    assert "harbour.news" in admin_client.get(url).text


def by_threads(ask, calls):
    """What each of these calls came to, all made at once on connections of their own."""
    start = threading.Barrier(len(calls))

    def call(names):
        try:
            start.wait(timeout=10)
            return ask(names)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


@pytest.mark.django_db(transaction=True)
def test_workers_who_note_the_same_domains_at_once_never_wait_in_a_circle():
    names = [f"paper{number}.news" for number in range(3000)]

    found = by_threads(MailDomain.objects.providers, [names, names[::-1]])

    assert found == [dict.fromkeys(names, "other")] * 2
    assert MailDomain.objects.count() == len(names)


@pytest.fixture
def quick_switches():
    """Threads take turns a thousand times as often."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.django_db(transaction=True)
def test_threads_that_ask_of_more_than_is_remembered_get_their_answers(monkeypatch, quick_switches):
    monkeypatch.setattr(domains, "_MOST_REMEMBERED", 5)
    names = [[f"paper{number}.test" for number in range(n, n + 200)] for n in range(4)]

    def ask(names):
        return [set(MailDomain.objects.providers(names)) for _ in range(40)]

    for mine, found in zip(names, by_threads(ask, names), strict=True):
        assert found == [set(mine)] * 40


def test_one_look_up_is_one_round_of_questions_that_whoever_stops_waits_for(name_server):
    names = [f"paper{number}.news" for number in range(30)]
    name_server.zones = dict.fromkeys(names, "servfail")
    providers(*names)

    MailDomain.objects.look_up()

    assert len(set(name_server.asked)) == 16
