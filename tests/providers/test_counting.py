"""The stand-in as a program of its own, for measuring: it only counts."""

import json
import subprocess
import sys

import pytest
import requests
from anymail.message import AnymailMessage
from django.core.mail import mailers

from tests.providers import APIS
from tests.providers.conversation import Accounts, Call
from tests.providers.fake import Counter
from tests.providers.http import serving

pytestmark = pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")


@pytest.mark.parametrize("name", sorted(set(APIS) - {"amazon-ses"}))
def test_it_answers_as_the_provider_does_and_counts(name, settings):
    api = APIS[name]()
    counter = Counter(api)
    with serving(counter.answer) as url:
        backend = f"anymail.backends.{api.backend}.EmailBackend"
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": api.options(url)}}
        to = ["ann@example.com", "bob@example.com"]
        mail = AnymailMessage("News", 'All "to" of it', "news@harbour.example", to)
        mail.attach_alternative('<p>All "to" of it</p>', "text/html")
        mail.merge_metadata = {address: {"subscriber": address} for address in to}

        with mailers["default"] as sending:
            sending.send_messages([mail])

        assert mail.anymail_status.status <= {"sent", "queued"}
        assert requests.get(f"{url}/counts", timeout=5).json() == {"calls": 1, "readers": 2}


def test_amazon_counts_as_it_answers():
    entry = {"Destination": {"ToAddresses": ["a@b.example"]}}
    template = {"TemplateContent": {"Text": "x"}}
    mail = {"DefaultContent": {"Template": template}, "BulkEmailEntries": [entry, entry]}
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIAHARBOUR/x"}
    path = "/v2/email/outbound-bulk-emails"
    call = Call(0, "POST", path, signed, json.dumps(mail).encode())

    api = APIS["amazon-ses"]()

    assert api.count(call).readers == api.take(call, Accounts(set(), set())).readers == 2


def test_it_runs_until_whoever_started_it_lets_go():
    command = [sys.executable, "-m", "tests.providers", "mailgun"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        told = json.loads(program.stdout.readline())
        counts = requests.get(f"{told['url']}/counts", timeout=5).json()
        program.stdin.close()

        assert program.wait(timeout=10) == 0
    assert told["options"]["api_url"].startswith(told["url"])
    assert counts == {"calls": 0, "readers": 0}
