"""A thousand messages over real SMTP, each read back byte by byte."""

import re

import pytest

from config.environment import Environment
from newsletter.models import Article
from newsletter.reports import Progress, progress
from subscribers import tokens
from subscribers.models import Subscriber
from subscribers.tokens import Purpose
from tests.newsletter.sending import confirmed_readers, start, work
from tests.rfc import findings

HEADLINE = "Storm 🌊 “Ida”: {{ 7*7 }} ferries, %recipient.x% stay — עברית"
SENTENCE = "הים סוער. {{ 7*7 }} {% debug %} %recipient.x% *|X|* [[x]] it’s “fine” & <em>well</em>."
LEAVE = re.compile(r"http://localhost:8000/u/(\w+)")


@pytest.fixture
def storm(campaign, article):
    Article.objects.filter(pk=article.pk).update(headline=HEADLINE, body=f"<p>{SENTENCE}</p>")
    campaign.subject = ""
    campaign.save()
    return campaign


def test_a_thousand_messages_are_each_right_in_their_bytes(storm, briefing, smtp_server, settings):
    settings.MAILERS = {"default": Environment({"EMAIL_URL": smtp_server.url}).smtp("EMAIL_URL")}
    confirmed_readers(1000, briefing)
    start(storm)

    work()

    assert progress(storm) == Progress(audience=1000, sent=1000)
    assert len(smtp_server.received) == 1000
    readers = dict(Subscriber.objects.values_list("address", "pk"))
    for mail in smtp_server.received:
        [recipient] = mail.recipients
        expected = (readers.pop(recipient), briefing.pk, storm.pk)
        assert findings(mail.raw) == []
        assert mail.message["To"] == recipient
        assert mail.message["Subject"] == HEADLINE
        text, html = (part.get_content() for part in mail.message.iter_parts())
        assert "{{ 7*7 }} {% debug %} %recipient.x% *|X|* [[x]] it’s “fine” & well." in _flat(text)
        assert SENTENCE.replace("&", "&amp;") in _flat(html)
        for place in [mail.message["List-Unsubscribe"], text, html]:
            [token] = set(LEAVE.findall(place))
            assert tokens.read(Purpose.UNSUBSCRIBE, token) == expected
    assert readers == {}


def _flat(text):
    return " ".join(text.split())
