"""A version left open for a provider to fill."""

import re

import pytest
from django.utils import timezone

from newsletter.content import Mailing, Reader, Syntax, compile_versions
from newsletter.models import Article

SYNTAX = Syntax("<<*>>", re.compile(r"\{(?=\{)"))


def mailing(campaign, body, subject="", list_name="Briefing"):
    Article.objects.filter(pk=campaign.entries.get().article_id).update(body=body)
    campaign.mailing_lists.update(name=list_name)
    campaign.subject = subject
    campaign.save()
    return Mailing(compile_versions(campaign)[0])


@pytest.fixture
def ann(briefing):
    return Reader(1, "ann@example.com", "Ann & <Bo>", briefing.pk)


def test_filled_with_a_readers_entries_it_is_that_readers_message(campaign, ann):
    made = mailing(campaign, "<p>Dear {{ name | you }}, {{ name }}! {{{x</p>", "For {{ name }}")
    letter = made.form_letter(SYNTAX)

    entries = made.entries(letter, ann, timezone.now())

    def filled(text):
        return re.sub("<<(.*?)>>", lambda field: entries.fields[field[1]], text)

    whole = made.parts(ann, timezone.now())
    assert filled(letter.parts.subject) == whole.subject == "For Ann & <Bo>"
    assert filled(letter.parts.text) == whole.text
    assert filled(letter.parts.html) == whole.html
    assert letter.parts.headers | entries.headers == whole.headers


def test_what_stands_in_it_often_is_one_field(campaign, ann):
    made = mailing(campaign, "<p>" + "{{ name | you }} " * 20 + "</p>")
    letter = made.form_letter(SYNTAX)

    entries = made.entries(letter, ann, timezone.now())

    assert len(re.findall("<<.*?>>", letter.parts.html)) > 20
    assert len(entries.fields) < 10


def test_headers_alike_for_all_are_no_readers_own(campaign, ann):
    made = mailing(campaign, "<p>x</p>")
    letter = made.form_letter(SYNTAX)

    entries = made.entries(letter, ann, timezone.now())

    assert entries.headers.keys() == {"List-Unsubscribe", "Message-ID"}
    assert letter.parts.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_header_with_their_syntax_is_filled_in_whole(campaign, ann):
    """Some providers look for their syntax in headers too, but nobody in what was filled in."""
    made = mailing(campaign, "<p>x</p>", list_name="Briefing {{x}}")
    letter = made.form_letter(SYNTAX)

    entries = made.entries(letter, ann, timezone.now())

    assert "{{x}}" in entries.headers["List-Id"]
    assert "List-Id" not in letter.parts.headers


def test_where_values_are_read_too_their_syntax_is_cut_in_two(campaign, ann):
    made = mailing(campaign, "<p>Dear {{ name }}</p>")
    letter = made.form_letter(SYNTAX._replace(in_values=SYNTAX.stray))

    entries = made.entries(letter, ann._replace(name="{{x}}"), timezone.now())

    assert "{\u2060{x}}" in entries.fields.values()
