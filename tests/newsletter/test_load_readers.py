"""Readers for benchmarks."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from newsletter.management.commands import load_readers
from subscribers.addresses import parse
from subscribers.models import Consent, Subscriber, Subscription


def load(count, **options):
    out = StringIO()
    call_command("load_readers", count=count, list="morning-briefing", stdout=out, **options)
    return out.getvalue()


def test_readers_are_confirmed_with_the_evidence_of_an_import(briefing):
    load(3)

    assert Subscription.objects.mailable().filter(mailing_list=briefing).count() == 3
    for action in ["given", "confirmed"]:
        consents = Consent.objects.filter(action=action)
        assert consents.count() == 3
        assert set(consents.values_list("method", "source")) == {("import", "load_readers")}
        assert consents.filter(terms__isnull=False).exclude(wording="").count() == 3


def test_readers_have_the_keys_that_a_sign_up_would_give_them(briefing):
    load(1)

    reader = Subscriber.objects.get()
    address = parse("reader000000001@example.org")
    assert reader.identity == address.identity
    assert reader.suppression_key == address.suppression_keys()[0]


def test_a_second_run_adds_as_many_more(briefing):
    load(3)
    load(2)

    assert Subscriber.objects.count() == Subscription.objects.count() == 5
    assert Consent.objects.count() == 10


def test_readers_at_a_second_domain_stand_beside_those_of_the_first(briefing):
    load(3)
    load(3, domain="example.net")

    assert Subscriber.objects.count() == Subscription.objects.count() == 6
    assert Consent.objects.count() == 12


def test_many_readers_are_loaded_in_pieces(briefing, monkeypatch):
    monkeypatch.setattr(load_readers, "_CHUNK", 4)

    shown = load(10)

    assert Subscriber.objects.count() == 10
    assert shown.splitlines()[-1] == "10 of 10 readers"


def test_a_domain_that_may_be_somebodys_is_refused(briefing):
    with pytest.raises(CommandError, match="RFC 2606"):
        load(1, domain="gmail.com")


def test_a_list_that_is_not_there_is_named_with_those_that_are(briefing):
    with pytest.raises(CommandError, match="morning-briefing"):
        call_command("load_readers", count=1, list="evening")
