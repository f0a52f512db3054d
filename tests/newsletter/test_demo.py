"""The made-up paper, and founding a real one."""

import re
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.utils import timezone

from newsletter import reports
from newsletter.content import compile_versions
from newsletter.content import web as web_content
from newsletter.demo import paper
from newsletter.models import Article, Campaign, Delivery
from newsletter.prose import sanitised, words
from subscribers.models import Consent, MailingList, Publication, Subscriber, Subscription, Terms

# RFC 2606, section 2 and 3.
RESERVED = re.compile(r"(.+\.)?(example|example\.com|example\.net|example\.org)$")
MODELS = [Publication, MailingList, Terms, Subscriber, Subscription, Consent, Article, Campaign]


@pytest.fixture(autouse=True)
def quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def demo(db):
    call_command("create_demo", verbosity=0)
    return Publication.objects.get()


def told(command, *arguments):
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


# The demo ----------------------------------------------------------------------------------------


def test_the_demo_can_be_read_signed_up_for_and_sent_from(demo, client):
    assert not demo.missing_for_sending()
    assert client.get("/").status_code == 200
    for article in Article.objects.published():
        assert client.get(article.get_absolute_url()).status_code == 200
    assert [one.name for one in demo.mailing_lists.public()] == [
        "Morning Briefing",
        "The Weekend Read",
    ]
    draft = Campaign.objects.get(status=Campaign.Status.DRAFT)
    assert compile_versions(draft)


def test_the_demo_again_adds_nothing(demo):
    before = [model.objects.count() for model in MODELS]

    call_command("create_demo", verbosity=0)

    assert [model.objects.count() for model in MODELS] == before


def test_the_demo_leaves_alone_what_was_changed_in_it(demo):
    Article.objects.filter(slug="fish-pie").update(headline="Mine")
    demo.mailing_lists.filter(slug="weekend-read").update(name="Sunday Read")

    call_command("create_demo", verbosity=0)

    assert Article.objects.get(slug="fish-pie").headline == "Mine"
    assert not MailingList.objects.filter(name="The Weekend Read").exists()


def test_stories_are_long_enough_to_be_read_and_survive_the_sanitiser_whole(demo):
    for story in paper.STORIES:
        assert 300 <= len(words(story.body)) <= 650, story.slug
        assert sanitised(story.body).strip() == story.body.strip(), story.slug
        assert "<h2>" in web_content.body(Article.objects.get(slug=story.slug))


def test_no_address_of_the_demo_can_be_anybodys(demo):
    addresses = list(Subscriber.objects.values_list("address", flat=True))
    addresses += [demo.sender.email, demo.sender.reply_to]

    for address in addresses:
        assert RESERVED.match(address.rpartition("@")[2]), address


def test_links_of_the_demo_lead_to_nobody(demo):
    for story in paper.STORIES:
        for host in re.findall(r'href="https?://([^/"]+)', story.body):
            assert RESERVED.match(host), host


def test_two_hundred_readers_have_confirmed_and_can_show_it(demo):
    periods = Subscription.objects.mailable()

    assert periods.values("subscriber").distinct().count() == 200
    for period in periods:
        given, confirmed = period.consents.order_by("at")
        assert (given.action, confirmed.action) == ("given", "confirmed")
        assert given.at == period.requested_at < confirmed.at == period.confirmed_at
        assert given.wording == given.terms.label
        assert given.terms.published_at < given.at < timezone.now()


def test_the_sent_campaign_accounts_for_everybody(demo):
    sent = Campaign.objects.get(status=Campaign.Status.SENT)
    progress = reports.progress(sent)

    assert progress.audience == progress.sent == sent.count_audience() > 100
    assert Delivery.objects.filter(campaign=sent).count() == progress.audience
    assert not sent.batches.filter(finished_at=None).exists()


def test_the_editor_signs_in_with_the_password_that_was_told(db):
    said = told("create_demo")

    assert "harbour lights" in said
    assert authenticate(username="editor", password="harbour lights").is_staff


def test_the_editor_gets_the_password_one_asks_for(db):
    call_command("create_demo", "--password", "a quieter word", verbosity=0)

    assert authenticate(username="editor", password="a quieter word")


def test_the_password_of_a_known_editor_stays(db):
    call_command("create_demo", "--password", "a quieter word", verbosity=0)

    said = told("create_demo", "--password", "another word")

    assert "another word" not in said
    assert authenticate(username="editor", password="a quieter word")


def test_on_a_server_nobody_knows_the_password(db, settings):
    settings.LAPTOP = False
    settings.SITE_URL, settings.ALLOWED_HOSTS = "https://post.example", ["post.example"]

    said = told("create_demo")

    assert not authenticate(username="editor", password="harbour lights")
    assert authenticate(username="editor", password=said.split()[-1])


def test_the_demo_does_not_mix_with_a_real_paper(db):
    Publication.objects.create(name="The Gazette")

    with pytest.raises(CommandError, match="The Gazette"):
        call_command("create_demo", verbosity=0)
    assert Publication.objects.count() == 1


# A real paper ------------------------------------------------------------------------------------

GAZETTE = {
    "--name": "The Gazette",
    "--legal-name": "Gazette SA",
    "--postal-address": r"2 rue du Port\n29000 Quimper",
    "--sender": "news@gazette.example",
    "--list": "Le Matin",
    "--list-slug": "matin",
}


def found(**changed):
    options = GAZETTE | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return told("create_publication", *(part for pair in options.items() for part in pair))


def test_a_paper_is_founded_with_all_that_sending_needs(db, tmp_path):
    terms = tmp_path / "terms.txt"
    terms.write_text("We write, you read.\n")

    found(terms=str(terms), time_zone="Europe/Paris", language="fr", rhythm="Every day")

    gazette = Publication.objects.current()
    assert gazette.postal_address == "2 rue du Port\n29000 Quimper"
    assert not gazette.missing_for_sending()
    assert gazette.sender.email == "news@gazette.example"
    assert gazette.mailing_lists.get().effective_sender == gazette.sender
    assert gazette.current_terms().text == "We write, you read."


def test_without_terms_one_is_told_where_to_write_them(db):
    assert "publish the terms" in found()


def test_a_second_paper_is_refused(db):
    found()

    with pytest.raises(CommandError, match="founded already"):
        found(name="The Other")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"sender": "not an address"}, "email"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"list_slug": "le matin"}, "slug"),
        ({"accent": "red"}, "accent"),
        ({"name": " \n "}, "name"),
        ({"terms": "/no/such/file"}, "/no/such/file"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_founded(db, changed, field):
    with pytest.raises(CommandError, match=field):
        found(**changed)

    assert not Publication.objects.exists()
