"""What the reader's tests share."""

import re

import pytest
from django.core import mail
from hypothesis import settings as hypothesis_settings

from config.celery import app
from subscribers.tasks import send_letters

# A busy machine is no fault of an example's.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")


@pytest.fixture
def letters():
    """Let a worker send what is due; all mails that went out so far."""

    def letters():
        send_letters()
        return mail.outbox

    return letters


@pytest.fixture
def link():
    """The path of a link of one kind ("c", "b", "u", "r") in a mail or a page."""

    def link(kind, source):
        text = source.body if hasattr(source, "body") else source.content.decode()
        return re.search(rf"/{kind}/\w+", text)[0]

    return link


@pytest.fixture
def eager():
    """What is published is done on the spot."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False
