"""Handing over to providers' APIs, each against a server of its own on this machine."""

import json
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.utils import timezone

from newsletter import faults
from newsletter.faults import Fault
from newsletter.models import Campaign, Deferral
from newsletter.reports import Progress, progress
from tests.newsletter.sending import bring_forward, start, statuses, work

PROVIDERS = {
    "mailgun": (
        {"api_key": "key", "sender_domain": "harbour.example"},
        {"id": "<1@mailgun>", "message": "Queued. Thank you."},
    ),
    "postmark": (
        {"server_token": "token"},
        {
            "ErrorCode": 0,
            "Message": "OK",
            "MessageID": "1-postmark",
            "SubmittedAt": "2026-11-24T06:00:00Z",
            "To": "",
        },
    ),
    "brevo": ({"api_key": "key"}, {"messageId": "<1@brevo>"}),
}
LATE = object()


class Api:
    """Keeps what it is sent; answers well until it is told otherwise."""

    def __init__(self, welcome):
        self.welcome = welcome
        self.requests = []
        self.script = []

    def answer(self, status, body=None, headers=None, times=1, containing=""):
        for _ in range(times):
            self.script.append((containing, status, body or {}, headers or {}))

    def take(self, body):
        for scripted in self.script:
            if scripted[0] in body:
                self.script.remove(scripted)
                return scripted[1:]
        # Postmark says whom it took a message for.
        told = {"To": json.loads(body)["To"]} if "MessageID" in self.welcome else {}
        return 200, {**self.welcome, **told}, {}


def handler_for(api):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            api.requests.append((self.path, body))
            status, answer, headers = api.take(body)
            if status is LATE:
                time.sleep(1)
                self.close_connection = True
                return
            raw = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args):
            pass

    return Handler


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request):
    return request.param


@pytest.fixture
def api(provider, settings):
    options, welcome = PROVIDERS[provider]
    api = Api(welcome)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(api))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}/"
    settings.MAILERS = {
        "default": {
            "BACKEND": f"anymail.backends.{provider}.EmailBackend",
            "OPTIONS": {**options, "api_url": api.url, "timeout": 0.5},
        }
    }
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def three(campaign, subscribe):
    for name in ["ann", "bob", "cyd"]:
        subscribe(f"{name}@example.com", name=name.title())
    return start(campaign)


def test_each_reader_is_one_call_with_nobody_elses_address(three, api):
    work()

    assert three.finish()
    assert progress(three) == Progress(audience=3, sent=3)
    assert len(api.requests) == 3
    for name, (_path, body) in zip(["ann", "bob", "cyd"], api.requests, strict=True):
        others = {"ann", "bob", "cyd"} - {name}
        assert f"{name}@example.com" in body or f"{name}%40example.com" in body
        assert not any(f"{other}@" in body or f"{other}%40" in body for other in others)


def test_our_own_ids_and_the_way_out_travel_along(three, api):
    work()

    reader = three.deliveries.order_by("subscriber").first()
    body = api.requests[0][1]
    assert "List-Unsubscribe" in body
    assert "One-Click" in body
    assert "campaign" in body
    assert "subscriber" in body
    assert str(reader.subscriber_id) in body
    assert reader.provider_id


def test_the_provider_is_asked_not_to_track_where_it_can_be_asked(three, api, provider):
    work()

    body = api.requests[0][1]
    if provider == "postmark":
        assert json.loads(body)["TrackOpens"] is False
        assert json.loads(body)["TrackLinks"] == "None"
    if provider == "mailgun":
        assert "o:tracking-opens" in body or "o%3Atracking-opens=no" in body


def test_too_many_requests_make_the_batch_wait_as_long_as_they_ask(three, api):
    api.answer(429, {"message": "slow down"}, {"Retry-After": "120"})

    work()

    batch = three.batches.get()
    assert timedelta(seconds=110) < batch.due_at - timezone.now() <= timedelta(seconds=125)
    assert progress(three) == Progress(audience=3)
    assert len(api.requests) == 1
    bring_forward(three)
    work()
    assert progress(three) == Progress(audience=3, sent=3)


def test_a_providers_own_error_is_tried_again_for_that_reader(three, api):
    api.answer(500, {"message": "oops"}, containing="bob")

    work()

    assert progress(three) == Progress(audience=3, sent=2)
    assert Deferral.objects.get().code == "500"
    bring_forward(three)
    work()
    assert three.finish()
    assert progress(three) == Progress(audience=3, sent=3)


def test_no_answer_after_the_request_is_uncertain_and_not_repeated(three, api):
    api.answer(LATE, containing="bob")

    work()

    assert three.finish()
    assert progress(three) == Progress(audience=3, sent=2, uncertain=1)
    assert statuses(three)["bob@example.com"][0] == "uncertain"
    assert len(api.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 402])
def test_a_key_that_is_refused_pauses_the_campaign(three, api, status):
    api.answer(status, {"message": "Forbidden"})

    work()

    three.refresh_from_db()
    assert three.status == Campaign.Status.PAUSED
    assert three.trouble.startswith(str(status))
    assert "Forbidden" in three.trouble
    assert progress(three) == Progress(audience=3)


def test_a_reader_that_is_refused_fails_alone(three, api):
    api.answer(400, {"message": "to parameter is not a valid address"}, containing="bob")

    work()

    assert three.finish()
    assert progress(three) == Progress(audience=3, sent=2, failed=1)
    assert "not a valid address" in three.deliveries.get(status="failed").text


def test_a_provider_that_cannot_be_reached_makes_the_batch_wait(three, api, settings):
    settings.MAILERS["default"]["OPTIONS"]["api_url"] = "http://127.0.0.1:9/"

    work()

    assert progress(three) == Progress(audience=3)
    assert three.batches.get().due_at > three.started_at


@pytest.mark.parametrize("provider", ["postmark"], indirect=True)
@pytest.mark.parametrize("words", ["", " Inactive recipients are ones that hard-bounced."])
def test_an_inactive_address_at_postmark_fails(three, api, words):
    """Also in words that Anymail does not know, where it raises nothing."""
    refusal = {"ErrorCode": 406, "Message": f"Found inactive addresses: bob@example.com.{words}"}
    api.answer(422, refusal, containing="bob")

    work()

    assert progress(three) == Progress(audience=3, sent=2, failed=1)


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        ("429", "", Fault.EVERYBODY),
        ("400", "ThrottlingException Rate exceeded", Fault.EVERYBODY),
        ("400", "AccountSuspendedException", Fault.SENDER),
        ("401", "", Fault.SENDER),
        ("502", "", Fault.UNKNOWN),
        ("503", "", Fault.EVERYBODY),
        ("500", "", Fault.PROVIDER),
        ("422", "", Fault.RECIPIENT),
        ("200", "not JSON", Fault.UNKNOWN),
    ],
)
def test_whose_fault_an_answer_is(code, text, fault):
    assert faults.of_http(code, text) is fault
