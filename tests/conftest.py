"""Fixtures, named after what they give."""

import pytest

from subscribers.models import MailingList, Publication, Sender, Terms


@pytest.fixture
def publication(db):
    paper = Publication.objects.create(
        name="The Harbour Post",
        legal_name="Harbour Post Ltd",
        postal_address="1 Quay Street\nPort Ellis",
        cancel_window=0,
    )
    paper.sender = Sender.objects.create(
        publication=paper, name="The Harbour Post", email="news@harbour.example"
    )
    paper.save()
    Terms.objects.create(publication=paper, number=1, text="You get our news until you leave.")
    return paper


@pytest.fixture
def briefing(publication):
    return MailingList.objects.create(
        publication=publication, slug="morning-briefing", name="Morning Briefing"
    )
