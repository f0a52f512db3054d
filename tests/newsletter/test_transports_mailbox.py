"""A laptop's mail lands in a folder."""

import mailbox
from email import message_from_bytes, policy

import pytest
from django.core.mail import EmailMultiAlternatives

from newsletter.reports import Progress, progress
from tests.newsletter.sending import bring_forward, start, work


@pytest.fixture
def folder(tmp_path, settings):
    settings.MAILERS = {
        "default": {
            "BACKEND": "newsletter.delivery.transports.mailbox.EmailBackend",
            "OPTIONS": {"folder": tmp_path / "data" / "mailbox"},
        }
    }
    return tmp_path / "data" / "mailbox"


def messages(folder):
    maildir = mailbox.Maildir(folder)
    raw = [maildir.get_bytes(key) for key in maildir.keys()]  # noqa: SIM118  Iterating it gives messages.
    return [message_from_bytes(one, policy=policy.default) for one in raw]


def test_a_campaign_lands_in_the_folder(campaign, subscribe, folder):
    subscribe("ann@example.com")
    subscribe("bob@example.com")
    start(campaign)

    work()

    assert campaign.finish()
    found = messages(folder)
    assert {mail["To"] for mail in found} == {"ann@example.com", "bob@example.com"}
    assert all(mail["List-Unsubscribe"] for mail in found)


def test_a_letter_lands_in_the_folder(folder):
    letter = EmailMultiAlternatives("Héllo", "text", "news@harbour.example", ["ann@example.com"])
    letter.attach_alternative("<p>html</p>", "text/html")

    assert letter.send() == 1

    mail = messages(folder)[0]
    assert mail["Subject"] == "Héllo"
    assert mail.get_body(["html"]).get_content().strip() == "<p>html</p>"


def test_a_folder_that_cannot_be_written_makes_the_batch_wait(campaign, subscribe, folder):
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file stands where the folder should")
    subscribe("ann@example.com")
    start(campaign)

    work()

    assert progress(campaign) == Progress(audience=1)
    folder.parent.unlink()
    bring_forward(campaign)
    work()
    assert progress(campaign) == Progress(audience=1, sent=1)
