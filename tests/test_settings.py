"""The environment, read: what each variable becomes, and what is refused in which words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import mailers as django_mailers

from config.environment import PROVIDERS, Environment

ROOT = Path(__file__).resolve().parent.parent
KEYS = {
    "brevo": {"BREVO_API_KEY": "k"},
    "mailersend": {"MAILERSEND_API_TOKEN": "k"},
    "mailgun": {"MAILGUN_API_KEY": "k"},
    "mailjet": {"MAILJET_API_KEY": "k", "MAILJET_SECRET_KEY": "s"},
    "mailtrap": {"MAILTRAP_API_TOKEN": "k"},
    "mandrill": {"MANDRILL_API_KEY": "k"},
    "postal": {"POSTAL_API_KEY": "k", "POSTAL_API_URL": "https://postal.example/"},
    "postmark": {"POSTMARK_SERVER_TOKEN": "k"},
    "resend": {"RESEND_API_KEY": "k"},
    "scaleway": {"SCALEWAY_SECRET_KEY": "k", "SCALEWAY_PROJECT_ID": "p"},
    "sendgrid": {"SENDGRID_API_KEY": "k"},
    "sparkpost": {"SPARKPOST_API_KEY": "k"},
    "unisender_go": {
        "UNISENDER_GO_API_KEY": "k",
        "UNISENDER_GO_API_URL": "https://go.example/",
    },
    "amazon_ses": {"AMAZON_SES_CLIENT_PARAMS": '{"region_name": "eu-central-1"}'},
}


@pytest.fixture
def ask():
    """Evaluate an expression on the settings that a process with these variables has."""

    def ask(expression, **variables):
        kept = {name: os.environ[name] for name in ["PATH", "DATA"]}
        code = f"import json; from config import settings as s; print(json.dumps({expression}))"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=kept | variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def smtp(url):
    return Environment({"EMAIL_URL": url}).smtp("EMAIL_URL")["OPTIONS"]


def test_every_provider_of_anymail_is_known():
    assert set(KEYS) == set(PROVIDERS)


# Anymail's makers no longer have an account to test it with; it works all the same.
@pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_built_from_the_environment_alone(provider, settings):
    variables = {f"ANYMAIL_{name}": value for name, value in KEYS[provider].items()}
    environment = Environment({"EMAIL_PROVIDER": provider, **variables})
    settings.ANYMAIL = environment.anymail()
    backend = f"anymail.backends.{environment.provider('EMAIL_PROVIDER')}.EmailBackend"
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": {}}}

    mailer = django_mailers["default"]

    assert type(mailer).__module__ == f"anymail.backends.{provider}"


@pytest.mark.parametrize("spelling", ["Amazon SES", "amazon-ses", "AMAZON_SES"])
def test_a_provider_may_be_written_as_people_write_it(spelling):
    assert Environment({"P": spelling}).provider("P") == "amazon_ses"


def test_an_unknown_provider_is_refused_with_the_known_names():
    with pytest.raises(ImproperlyConfigured, match=r"'pigeon'.*mailgun, mailjet"):
        Environment({"P": "pigeon"}).provider("P")


def test_switches_timeouts_and_objects_of_anymail_are_what_they_look_like():
    variables = {
        "ANYMAIL_IGNORE_UNSUPPORTED_FEATURES": "false",
        "ANYMAIL_REQUESTS_TIMEOUT": "12",
        "ANYMAIL_AMAZON_SES_CLIENT_PARAMS": '{"region_name": "eu-central-1"}',
        "ANYMAIL_MAILGUN_API_KEY": "12345",
        "ANYMAIL_BREVO_API_KEY": "",
    }

    assert Environment(variables).anymail() == {
        "IGNORE_UNSUPPORTED_FEATURES": False,
        "REQUESTS_TIMEOUT": 12.0,
        "AMAZON_SES_CLIENT_PARAMS": {"region_name": "eu-central-1"},
        "MAILGUN_API_KEY": "12345",
    }


@pytest.mark.parametrize(
    ("url", "port", "security"),
    [
        ("smtp://relay.example", 25, {}),
        ("smtp+tls://relay.example", 587, {"use_tls": True}),
        ("smtps://relay.example", 587, {"use_tls": True}),
        ("smtp+ssl://relay.example", 465, {"use_ssl": True}),
        ("smtp+tls://relay.example:2525", 2525, {"use_tls": True}),
    ],
)
def test_the_scheme_says_how_the_server_is_spoken_to(url, port, security):
    options = smtp(url)

    assert (options["host"], options["port"]) == ("relay.example", port)
    assert {name: on for name, on in options.items() if name.startswith("use_")} == security


def test_credentials_may_hold_any_character():
    options = smtp("smtp+tls://desk%40harbour:p%2Fs%3Aw%40rd%25+plus@relay.example")

    assert (options["username"], options["password"]) == ("desk@harbour", "p/s:w@rd%+plus")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("relay.example:25", "must begin with"),
        ("http://relay.example", "must begin with"),
        ("consolemail://", "must begin with"),
        ("smtp://relay.example:abc", "not an address"),
        ("smtp://", "no more"),
        ("smtp://relay.example/?tls=yes", "no more"),
        ("smtps://relay.example:465", r"write smtp\+ssl"),
    ],
)
def test_a_server_that_cannot_be_understood_is_refused_in_words(url, words):
    with pytest.raises(ImproperlyConfigured, match=words):
        smtp(url)


def test_a_refusal_does_not_repeat_a_password():
    with pytest.raises(ImproperlyConfigured) as refusal:
        Environment({"D": "mysql://desk:sesame@db/paper"}).database("D", "")

    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize("url", ["mysql://u@h/db", "nonsense", "postgres://u:p@h:abc/db"])
def test_only_postgresql_and_sqlite_are_databases(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        Environment({"DATABASE_URL": url}).database("DATABASE_URL", "")


def test_what_is_no_redis_is_refused():
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL must begin with"):
        Environment({"REDIS_URL": "localhost:6379"}).redis("REDIS_URL")


def test_words_that_are_neither_yes_nor_no_are_refused():
    assert Environment({"DEBUG": "On"}).yes("DEBUG", False) is True
    assert Environment({"DEBUG": ""}).yes("DEBUG", True) is False
    with pytest.raises(ImproperlyConfigured, match="DEBUG is 'perhaps'"):
        Environment({"DEBUG": "perhaps"}).yes("DEBUG", False)


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="HEARTBEAT is"):
        Environment({"HEARTBEAT": text}).number("HEARTBEAT", 1.0)


def test_suppression_keys_keep_their_numbers_and_order():
    environment = Environment({"K": "2:new:er, 1:older"})

    assert list(environment.keys("K", {}).items()) == [("2", "new:er"), ("1", "older")]


@pytest.mark.parametrize("text", ["newest", "a:b", "1:", "1:a,1:b"])
def test_suppression_keys_without_numbers_are_refused(text):
    with pytest.raises(ImproperlyConfigured, match="numbered keys"):
        Environment({"K": text}).keys("K", {})


def test_a_laptop_needs_nothing_but_its_name(ask):
    found = ask("[s.SITE_URL, s.ON_SQLITE, s.EMBEDDED, s.DEBUG]", ENVIRONMENT="laptop")

    assert found == ["http://localhost:8000", True, True, False]


def test_whoever_says_nothing_is_in_production(ask):
    assert ask("[s.ENVIRONMENT, s.LAPTOP]") == ["production", False]


def test_each_part_is_replaced_on_its_own(ask):
    parts = "[s.ON_SQLITE, s.EMBEDDED, s.MAILERS['default']['BACKEND'].rsplit('.', 2)[-2]]"

    assert ask(parts, ENVIRONMENT="laptop") == [True, True, "mailbox"]
    assert ask(parts, DATABASE_URL="postgres://u@h/db") == [False, True, "mailbox"]
    assert ask(parts, REDIS_URL="redis://h:6379/0") == [True, False, "mailbox"]
    assert ask(parts, EMAIL_URL="smtp://relay.example") == [True, True, "smtp"]
    assert ask(parts, EMAIL_PROVIDER="postmark") == [True, True, "postmark"]


def test_a_provider_and_a_server_at_once_are_refused(ask):
    with pytest.raises(AssertionError, match="not both"):
        ask("1", EMAIL_PROVIDER="postmark", EMAIL_URL="smtp://relay.example")


def test_an_environment_that_does_not_exist_is_refused(ask):
    with pytest.raises(AssertionError, match="must be 'laptop' or 'production'"):
        ask("1", ENVIRONMENT="staging")


def test_old_secret_keys_still_read_links(ask):
    before = ask("s.LINK_KEYS", SECRET_KEY="one")
    after = ask("s.LINK_KEYS", SECRET_KEY="two", SECRET_KEY_FALLBACKS="one")

    assert after[1:] == before
    assert after[0] != before[0]


def test_name_servers_are_addresses_perhaps_with_a_port():
    text = "192.0.2.53, 192.0.2.54:5353, 2001:db8::53"
    assert Environment({"DNS_SERVERS": text}).servers("DNS_SERVERS") == text.split(", ")
    assert Environment({}).servers("DNS_SERVERS") == []


@pytest.mark.parametrize("text", ["dns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:x"])
def test_what_is_no_address_of_a_name_server_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="write an IP address"):
        Environment({"DNS_SERVERS": text}).servers("DNS_SERVERS")


def test_limits_of_sending_are_none_unless_said(ask):
    limits = "[s.SEND_PER_SECOND, s.SEND_PER_DAY]"
    assert ask(limits, ENVIRONMENT="laptop", SECRET_KEY="x") == [0, 0]
    said = {"SEND_PER_SECOND": "0.5", "SEND_PER_DAY": "50000"}
    assert ask(limits, ENVIRONMENT="laptop", SECRET_KEY="x", **said) == [0.5, 50000]


# Several mailers ---------------------------------------------------------------------------------


def mailers(**variables):
    return Environment(variables).mailers("MAILERS")


def test_further_mailers_have_their_names_at_the_end_of_the_same_variables():
    found = mailers(
        MAILERS="bulk, letters",
        EMAIL_URL_BULK="smtp+tls://desk:secret@relay.example",
        EMAIL_PROVIDER_LETTERS="Postmark",
        ANYMAIL_LETTERS_POSTMARK_SERVER_TOKEN="theirs",
        ANYMAIL_LETTERS_REQUESTS_TIMEOUT="5",
    )

    assert list(found) == ["bulk", "letters"]
    assert found["bulk"]["OPTIONS"]["host"] == "relay.example"
    assert found["letters"] == {
        "BACKEND": "anymail.backends.postmark.EmailBackend",
        "OPTIONS": {"server_token": "theirs", "requests_timeout": 5.0},
    }


def test_keys_of_one_mailer_are_no_other_ones():
    variables = {
        "MAILERS": "bulk,letters",
        "ANYMAIL_POSTMARK_SERVER_TOKEN": "shared",
        "ANYMAIL_BULK_POSTMARK_SERVER_TOKEN": "bulk",
        "EMAIL_PROVIDER_BULK": "postmark",
        "EMAIL_PROVIDER_LETTERS": "postmark",
    }

    assert Environment(variables).anymail() == {"POSTMARK_SERVER_TOKEN": "shared"}
    assert mailers(**variables)["bulk"]["OPTIONS"] == {"server_token": "bulk"}
    assert mailers(**variables)["letters"]["OPTIONS"] == {}


@pytest.mark.filterwarnings("ignore:django-anymail has dropped official support")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_takes_the_keys_of_its_mailer(provider, settings):
    keys = {f"ANYMAIL_BULK_{name}": value for name, value in KEYS[provider].items()}
    settings.ANYMAIL = {}
    settings.MAILERS = mailers(MAILERS="bulk", EMAIL_PROVIDER_BULK=provider, **keys)

    mailer = django_mailers["bulk"]

    assert type(mailer).__module__ == f"anymail.backends.{provider}"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MAILERS": "Bulk"}, "write small letters"),
        ({"MAILERS": "bulk-mail"}, "write small letters"),
        ({"MAILERS": "default"}, "needs no name"),
        ({"MAILERS": "bulk,bulk"}, "another name"),
        ({"MAILERS": "bulk,bulk_eu"}, "another name"),
        ({"MAILERS": "mailgun"}, "another name"),
        ({"MAILERS": "amazon"}, "another name"),
        ({"MAILERS": "send"}, "another name"),
        ({"MAILERS": "bulk"}, "set EMAIL_URL_BULK to its SMTP server"),
        ({"EMAIL_URL_NIGHT": "smtp://relay.example"}, "Write MAILERS=night, or unset it"),
        (
            {
                "MAILERS": "bulk",
                "EMAIL_URL_BULK": "smtp://relay.example",
                "EMAIL_PROVIDER_NIGHT": "postmark",
            },
            "Write MAILERS=bulk,night, or unset it",
        ),
        ({"MAILERS": "bulk", "EMAIL_URL_BULK": "relay.example"}, "EMAIL_URL_BULK must begin with"),
        ({"MAILERS": "bulk", "EMAIL_PROVIDER_BULK": "pigeon"}, "EMAIL_PROVIDER_BULK is 'pigeon'"),
        (
            {
                "MAILERS": "bulk",
                "EMAIL_URL_BULK": "smtp://relay.example",
                "EMAIL_PROVIDER_BULK": "postmark",
            },
            "Set EMAIL_PROVIDER_BULK or EMAIL_URL_BULK, not both",
        ),
    ],
)
def test_mailers_that_cannot_be_understood_are_refused_with_the_remedy(variables, words):
    with pytest.raises(ImproperlyConfigured, match=words):
        mailers(**variables)


def test_the_default_mailer_comes_first_whatever_is_named_beside_it(ask):
    named = {"MAILERS": "letters", "EMAIL_URL_LETTERS": "smtp://letters.example"}

    assert ask("list(s.MAILERS)") == ["default"]
    assert ask("list(s.MAILERS)", **named) == ["default", "letters"]
