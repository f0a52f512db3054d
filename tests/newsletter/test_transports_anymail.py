"""Handing over to providers' APIs that take one reader at a time, each a server on this machine."""

import json
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from anymail.exceptions import AnymailAPIError
from django.utils import timezone

from newsletter.delivery.transports.anymail import troubles
from newsletter.faults import Fault
from newsletter.models import Campaign, Deferral
from newsletter.reports import Progress, progress
from tests.newsletter.sending import bring_forward, start, statuses, work
from tests.newsletter.transports import hand_over, messages

LATE = object()


def mandrill(body):
    return [{"email": to["email"], "status": "sent", "_id": "1-m"} for to in body["message"]["to"]]


def scaleway(body):
    told = [{"mail_rcpt": to["email"], "id": "1-s", "status": "sending"} for to in body["to"]]
    return {"emails": told}


PROVIDERS = {
    "mandrill": ({"api_key": "key"}, mandrill),
    "scaleway": ({"secret_key": "key", "project_id": "1"}, scaleway),
}


class Api:
    """Keeps what it is sent; answers well until it is told otherwise."""

    def __init__(self, welcome):
        self.welcome = welcome
        self.requests = []
        self.script = []
        self.connections = set()
        self.at_once = self.most_at_once = 0
        self.pause = 0
        self.is_over = threading.Event()

    def answer(self, status, body=None, headers=None, containing=""):
        self.script.append((containing, status, body or {}, headers or {}))

    def take(self, body):
        for scripted in self.script:
            if scripted[0] in body:
                self.script.remove(scripted)
                return scripted[1:]
        return 200, self.welcome(json.loads(body)), {}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32


def handler_for(api):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            api.requests.append((self.path, body))
            api.connections.add(self.client_address)
            api.at_once += 1
            api.most_at_once = max(api.at_once, api.most_at_once)
            time.sleep(api.pause)
            api.at_once -= 1
            status, answer, headers = api.take(body)
            if status is LATE:
                api.is_over.wait(10)
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
    server = Server(("127.0.0.1", 0), handler_for(api))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.MAILERS = {
        "default": {
            "BACKEND": f"anymail.backends.{provider}.EmailBackend",
            "OPTIONS": {
                **options,
                "api_url": f"http://127.0.0.1:{server.server_port}/",
                "timeout": 1.5,
            },
        }
    }
    yield api
    api.is_over.set()
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
    for name in ["ann", "bob", "cyd"]:
        (body,) = [body for _path, body in api.requests if f"{name}@example.com" in body]
        others = {"ann", "bob", "cyd"} - {name}
        assert not any(f"{other}@" in body for other in others)


def test_our_own_ids_and_the_way_out_travel_along(three, api):
    work()

    reader = three.deliveries.order_by("subscriber").first()
    body = next(body for _path, body in api.requests if "ann@" in body)
    assert "List-Unsubscribe" in body
    assert "One-Click" in body
    assert reader.provider_id


@pytest.mark.parametrize("provider", ["mandrill"], indirect=True)
def test_the_provider_is_told_our_ids_and_not_to_track_where_it_can_be(three, api):
    work()

    message = json.loads(next(body for _path, body in api.requests if "ann@" in body))["message"]
    reader = three.deliveries.order_by("subscriber").first()
    ours = {"campaign": str(three.pk), "subscriber": str(reader.subscriber_id)}
    assert message["metadata"] == ours
    assert message["track_opens"] is message["track_clicks"] is False


def test_several_are_handed_over_at_once_over_kept_connections(campaign, api):
    api.pause = 0.05

    account = hand_over(messages(campaign, 24))

    assert len(account.outcomes) == len(api.requests) == 24
    assert 2 <= api.most_at_once <= 8
    assert len(api.connections) <= 8


def test_too_many_requests_make_the_batch_wait_as_long_as_they_ask(three, api):
    for _ in range(3):
        api.answer(429, {"message": "slow down"}, {"Retry-After": "120"})

    work()

    batch = three.batches.get()
    assert timedelta(seconds=110) < batch.due_at - timezone.now() <= timedelta(seconds=125)
    assert progress(three) == Progress(audience=3)
    api.script.clear()
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
    for _ in range(3):
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


@pytest.mark.parametrize("provider", ["mandrill"], indirect=True)
def test_a_reader_refused_in_an_answer_that_is_a_success_fails(three, api):
    told = [{"email": "bob@example.com", "status": "rejected", "reject_reason": "hard-bounce"}]
    api.answer(200, [told[0] | {"_id": None}], containing="bob")

    work()

    assert progress(three) == Progress(audience=3, sent=2, failed=1)
    assert "hard-bounce" in three.deliveries.get(status="failed").text


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", Fault.SENDER),
        # The request may have been read whole by then.
        ("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record mac", Fault.UNKNOWN),
    ],
)
def test_trouble_of_tls_is_certain_only_before_anything_was_said(words, fault):
    error = AnymailAPIError("broken")
    error.__cause__ = requests.exceptions.SSLError(words)

    assert troubles.failed(error).fault is fault


def test_nobody_elses_address_stays_in_an_answer_that_all_of_a_call_get():
    refused = troubles.RefusedError(Fault.RECIPIENT, "400", "bob@example.com is no address")

    assert "bob@" not in f"{refused} {refused.words}"


def test_a_provider_that_cannot_be_reached_makes_the_batch_wait(three, api, settings):
    settings.MAILERS["default"]["OPTIONS"]["api_url"] = "http://127.0.0.1:9/"

    work()

    assert progress(three) == Progress(audience=3)
    assert three.batches.get().due_at > three.started_at
