"""What the system checks call wrong, and where that stops us."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config.checks import check_redis, refuse_errors
from config.environment import Environment

# Django's own checks ask the database what it can do.
pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent


def ours():
    return {message.id.removeprefix("broadsheet."): message for message in _found()}


def _found():
    return [message for message in run_checks() if message.id.startswith("broadsheet.")]


@pytest.fixture
def production(settings):
    """A site as it should be."""
    settings.LAPTOP = False
    settings.SECRET_KEY = "8fGm2qL0zXcVbN5tYh7Kp3Rw9Ud1Se6Aj4IoQxWvEyTzBnMkHgFd"
    settings.SUPPRESSION_KEYS_ARE_DERIVED = False
    settings.SITE_URL, settings.SITE_HOST = "https://news.example.org", "news.example.org"
    settings.SITE_IS_SECURE = True
    settings.ALLOWED_HOSTS = ["news.example.org"]
    settings.ON_SQLITE = settings.EMBEDDED = False
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    set_mail(settings, EMAIL_URL="smtp+tls://relay.example.org")
    return settings


def set_mail(settings, **variables):
    environment = Environment(variables)
    settings.ANYMAIL = environment.anymail()
    settings.EMAIL_PROVIDER = environment.provider("EMAIL_PROVIDER")
    settings.EMAIL_URL = environment.text("EMAIL_URL")
    if settings.EMAIL_URL:
        settings.MAILERS = {"default": environment.smtp("EMAIL_URL")}
    if settings.EMAIL_PROVIDER:
        backend = f"anymail.backends.{settings.EMAIL_PROVIDER}.EmailBackend"
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": {}}}


def test_a_laptop_is_fine_as_it_is():
    assert ours() == {}


def test_a_site_as_it_should_be_is_fine(production):
    assert ours() == {}
    refuse_errors()


@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"SECRET_KEY": ""}, "E001"),
        ({"LINK_KEYS": []}, "E002"),
        ({"TRUSTED_PROXIES": ["10.0.0.0/8", "proxy.internal"]}, "E003"),
        ({"DEBUG": True}, "E010"),
        ({"SECRET_KEY": "changeme"}, "E011"),
        ({"SUPPRESSION_KEYS_ARE_DERIVED": True}, "E017"),
        ({"SECRET_KEY": "a" * 60}, "E011"),
        (
            {"SECRET_KEY": "django-insecure-8fGm2qL0zXcVbN5tYh7Kp3Rw9Ud1Se6Aj4IoQxWvEyTzBnMkHgFd"},
            "E011",
        ),
        ({"SITE_HOST": "", "ALLOWED_HOSTS": ["news.example.org"]}, "E012"),
        ({"SITE_IS_SECURE": False, "SITE_URL": "http://news.example.org"}, "E013"),
        ({"ALLOWED_HOSTS": ["*"]}, "E014"),
        ({"ALLOWED_HOSTS": []}, "E014"),
        ({"EMAIL_URL": "", "EMAIL_PROVIDER": ""}, "E015"),
    ],
)
def test_production_refuses(production, wrong, number):
    for name, value in wrong.items():
        setattr(production, name, value)

    found = ours()

    assert list(found) == [number]
    assert found[number].hint
    with pytest.raises(ImproperlyConfigured, match="does not start like this"):
        refuse_errors()


def test_a_provider_without_its_key_is_told_which_variable(production):
    set_mail(production, EMAIL_PROVIDER="mailgun", ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY="k")

    found = ours()

    assert list(found) == ["E004"]
    assert found["E004"].hint == "Set ANYMAIL_MAILGUN_API_KEY."


@pytest.mark.parametrize("secret", ["", "nocolon"])
def test_production_refuses_a_provider_without_webhook_secret(production, secret):
    variables = {"ANYMAIL_WEBHOOK_SECRET": secret, "ANYMAIL_POSTMARK_SERVER_TOKEN": "t"}
    set_mail(production, EMAIL_PROVIDER="postmark", **variables)

    assert list(ours()) == ["E016"]


def test_a_provider_that_signs_its_reports_is_known_by_its_key(production):
    mailgun = {"EMAIL_PROVIDER": "mailgun", "ANYMAIL_MAILGUN_API_KEY": "k"}
    set_mail(production, **mailgun, ANYMAIL_WEBHOOK_SECRET="a:b")

    found = ours()

    assert list(found) == ["E016"]
    assert "ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY" in found["E016"].msg


@pytest.mark.parametrize("url", ["smtp://relay.example.org", "smtp://9.9.9.9:2525"])
def test_mail_in_the_clear_over_the_internet_is_warned_of(production, url):
    set_mail(production, EMAIL_URL=url)

    assert list(ours()) == ["W001"]


@pytest.mark.parametrize(
    "url",
    ["smtp://localhost", "smtp://127.0.0.1:2525", "smtp://10.1.2.3", "smtp://relay"],
)
def test_mail_in_the_clear_next_door_is_not(production, url):
    set_mail(production, EMAIL_URL=url)

    assert ours() == {}


def test_sqlite_and_a_missing_redis_are_warned_of_in_production(production):
    production.ON_SQLITE = production.EMBEDDED = True

    assert list(ours()) == ["W002", "W003"]
    refuse_errors()


def test_a_proxy_that_is_not_trusted_is_warned_of_in_production(production):
    production.TRUSTED_PROXIES = []

    assert list(ours()) == ["W004"]
    refuse_errors()


def test_a_redis_that_forgets_is_warned_of(settings, redis_url):
    import redis

    settings.REDIS_URL = redis_url
    with redis.Redis.from_url(redis_url) as client:
        kept = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert [message.id for message in check_redis()] == ["broadsheet.W006"]
        finally:
            client.config_set("maxmemory-policy", kept)
        client.config_set("maxmemory-policy", "noeviction")

        assert check_redis() == []


def test_a_redis_that_is_not_there_is_warned_of(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert [message.id for message in check_redis()] == ["broadsheet.W005"]


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import config.wsgi"],
        ["-m", "celery", "-A", "config", "-q", "worker", "-P", "threads"],
    ],
    ids=["web", "worker"],
)
def test_neither_web_nor_worker_starts_on_an_error(command, tmp_path):
    variables = {"PATH": os.environ["PATH"], "DATA": str(tmp_path), "SECRET_KEY": "changeme"}

    done = subprocess.run(
        [sys.executable, *command],
        env=variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "SECRET_KEY is short or a default" in done.stderr
    assert "SITE_URL is not set" in done.stderr


# Several mailers ---------------------------------------------------------------------------------


@pytest.fixture
def with_mailers(production):
    """Call it with the variables of further mailers."""

    def with_mailers(**variables):
        environment = Environment(variables)
        further = environment.mailers("MAILERS")
        production.ANYMAIL = environment.anymail()
        production.MAILERS = {"default": production.MAILERS["default"], **further}

    return with_mailers


def test_each_further_mailer_is_built_at_start(with_mailers):
    with_mailers(
        MAILERS="bulk", EMAIL_PROVIDER_BULK="mailgun", ANYMAIL_WEBHOOK_SECRET="desk:secret"
    )

    assert ours()["E004"].hint == "Set ANYMAIL_BULK_MAILGUN_API_KEY."


def test_a_setting_that_a_mailers_provider_does_not_know_is_refused(with_mailers):
    with_mailers(
        MAILERS="bulk",
        EMAIL_PROVIDER_BULK="mailgun",
        ANYMAIL_BULK_MAILGUN_API_KEY="k",
        ANYMAIL_BULK_MAILGUN_APIKEY="k",
        ANYMAIL_WEBHOOK_SECRET="desk:secret",
    )

    assert ours()["E004"].hint == "Unset ANYMAIL_BULK_…APIKEY: Anymail has no such setting there."


def test_production_refuses_a_further_provider_without_webhook_secret(with_mailers):
    with_mailers(
        MAILERS="bulk", EMAIL_PROVIDER_BULK="postmark", ANYMAIL_BULK_POSTMARK_SERVER_TOKEN="t"
    )

    assert list(ours()) == ["E016"]


def test_further_mail_in_the_clear_over_the_internet_is_warned_of(with_mailers):
    with_mailers(MAILERS="bulk", EMAIL_URL_BULK="smtp://other.example.org")

    assert "EMAIL_URL_BULK" in ours()["W001"].hint


def test_a_mailer_that_is_the_same_as_another_is_warned_of(with_mailers):
    with_mailers(MAILERS="bulk", EMAIL_URL_BULK="smtp+tls://relay.example.org")

    assert list(ours()) == ["W004"]


def test_two_accounts_at_one_server_are_two_mailers(with_mailers):
    with_mailers(MAILERS="bulk", EMAIL_URL_BULK="smtp+tls://bulk:p@relay.example.org")

    assert ours() == {}


@pytest.mark.parametrize("field", ["mailer", "letter_mailer", "standby"])
def test_a_sender_whose_mailer_is_not_set_up_is_told_of(publication, field):
    type(publication.sender).objects.update(**{field: "pigeon"})

    found = [one for one in run_checks(databases=["default"]) if one.id == "broadsheet.W007"]

    assert "'pigeon'" in found[0].msg
    assert "MAILERS" in found[0].hint
    assert "W007" not in ours()
