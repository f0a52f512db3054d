"""Every setting of Broadsheet, read from the environment once, at start."""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from config.environment import Environment
from config.logs import TO_CONSOLE

ROOT = Path(__file__).resolve().parent.parent
env = Environment(os.environ)

# "laptop" is what bin/start and bin/test say; whoever says nothing runs a real news site.
ENVIRONMENT = env.text("ENVIRONMENT", "production")
if ENVIRONMENT not in {"laptop", "production"}:
    raise ImproperlyConfigured(
        f"ENVIRONMENT is {ENVIRONMENT!r}; it must be 'laptop' or 'production'."
    )
LAPTOP = ENVIRONMENT == "laptop"
DEBUG = env.yes("DEBUG", False)

DATA = Path(env.text("DATA") or ROOT / "var").resolve()


# Where we are ------------------------------------------------------------------------------

SITE_URL = env.text("SITE_URL", "http://localhost:8000" if LAPTOP else "").rstrip("/")
SITE_HOST = urlsplit(SITE_URL).hostname or ""
SITE_IS_SECURE = SITE_URL.startswith("https://")
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS",
    [SITE_HOST, "localhost", "127.0.0.1", "[::1]"] if LAPTOP else [SITE_HOST],
)
# Networks of proxies whose X-Forwarded-For we believe; nobody's, unless said.
TRUSTED_PROXIES = env.words("TRUSTED_PROXIES", [])


# Secrets -----------------------------------------------------------------------------------

SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", [])


def _derived(secret: str, purpose: str) -> str:
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


# Links in mail live for ever, so they have keys of their own: the first signs, all verify.
LINK_KEYS = env.words(
    "LINK_KEYS", [_derived(key, "links") for key in [SECRET_KEY, *SECRET_KEY_FALLBACKS]]
)
# "number:key"; the first marks new suppressions, the others still find old ones. Never drop one.
SUPPRESSION_KEYS = env.keys("SUPPRESSION_KEYS", {"1": _derived(SECRET_KEY, "suppressions")})
SUPPRESSION_KEYS_ARE_DERIVED = not env.text("SUPPRESSION_KEYS")


# The house ---------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "newsletter",
    "subscribers",
    "django_prose_editor",
    "django_htmx",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "subscribers.context.publication",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "newsroom:sign-in"
LOGIN_REDIRECT_URL = "newsroom:campaigns"
LOGOUT_REDIRECT_URL = "newsroom:sign-in"


# What we stand on --------------------------------------------------------------------------

DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{DATA / 'broadsheet.sqlite3'}")}
ON_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if ON_SQLITE:
    DATA.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE takes the write lock when a transaction begins: two writers queue, none deadlocks.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
    }
    # Tests use a file too: threads on a database in memory lock each other in ways of their own.
    DATABASES["default"]["TEST"] = {"NAME": DATA / "test.sqlite3"}
else:
    DATABASES["default"].setdefault("CONN_MAX_AGE", env.number("CONN_MAX_AGE", 60))
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Shorter than a batch's lease: a worker that hangs, or is cut off, must not keep its locks.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "options": "-c idle_in_transaction_session_timeout=10s",
        **DATABASES["default"].get("OPTIONS", {}),
    }

REDIS_URL = env.redis("REDIS_URL")
# Without Redis the broker lives in the worker's memory: the web process must not publish into
# its own, so nothing is published from there and the tables tell the worker what is due.
EMBEDDED = not REDIS_URL

CELERY_BROKER_URL = REDIS_URL or "memory://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.01}
    if EMBEDDED
    else {"socket_timeout": 10, "socket_connect_timeout": 5, "visibility_timeout": 3600}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "urgent"
CELERY_TASK_ROUTES = {"newsletter.tasks.*": {"queue": "bulk"}}
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Seconds between two looks for what is due. A look is two small indexed queries.
HEARTBEAT = env.number("HEARTBEAT", 0.25 if EMBEDDED else 1.0)

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}


# Mail --------------------------------------------------------------------------------------

# EMAIL_PROVIDER is a name of Anymail's ("mailgun", "postmark", "amazon_ses", ...), its keys are
# ANYMAIL_* variables; EMAIL_URL is an SMTP server. With neither, a laptop keeps its own mailbox.
EMAIL_PROVIDER = env.provider("EMAIL_PROVIDER")
EMAIL_URL = env.text("EMAIL_URL")
LOCAL_MAILBOX = DATA / "mailbox"
# Whether the server that takes our mail offers SMTPUTF8 (RFC 6531); addresses need it or not.
SMTPUTF8 = env.yes("SMTPUTF8", False)
# How many connections a worker keeps to that server, at most.
SMTP_CONNECTIONS = env.count("SMTP_CONNECTIONS", 16)
# Mail over SMTP is signed with these: "domain:selector:file with the private key".
DKIM_KEYS = env.dkim_keys("DKIM_KEYS")
# What the default mailer may hand over at most, where no row of RateLimit says otherwise; 0: any.
SEND_PER_SECOND = env.number("SEND_PER_SECOND", 0)
SEND_PER_DAY = env.count("SEND_PER_DAY", 0)
# Whom to ask about mail domains ("192.0.2.53", "192.0.2.53:5353"); unset: whom the machine asks.
DNS_SERVERS = env.servers("DNS_SERVERS")

ANYMAIL = env.anymail()

# Beside the default mailer: MAILERS names them ("bulk,letters"), and each is set up by the same
# variables with its name at the end (EMAIL_URL_BULK, EMAIL_PROVIDER_LETTERS); keys of its own have
# it after ANYMAIL_ (ANYMAIL_LETTERS_POSTMARK_SERVER_TOKEN). Senders say which is used for what.
MAILERS: dict[str, dict[str, Any]] = {
    "default": env.mailer()
    or {
        "BACKEND": "newsletter.delivery.transports.mailbox.EmailBackend",
        "OPTIONS": {"folder": LOCAL_MAILBOX},
    },
    **env.mailers("MAILERS"),
}
# What the demo newsroom sends from; a publication's senders are rows.
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"newsroom@{SITE_HOST or 'localhost'}")

# Of the mailbox that receive_bounces reads.
IMAP_PASSWORD = env.text("IMAP_PASSWORD")

# How long a confirmation link lives, and how long we keep what nobody confirmed.
CONFIRM_WITHIN_DAYS = env.count("CONFIRM_WITHIN_DAYS", 7)
KEEP_UNCONFIRMED_DAYS = env.count("KEEP_UNCONFIRMED_DAYS", 30)
# How long we keep what was reported of each message; what followed from it stays.
KEEP_EVENTS_DAYS = env.count("KEEP_EVENTS_DAYS", 90)
# How long we keep the evidence after a reader left, and network address and browser in it.
KEEP_EVIDENCE_DAYS = env.count("KEEP_EVIDENCE_DAYS", 3 * 366)
KEEP_TRACES_DAYS = env.count("KEEP_TRACES_DAYS", 366)
# More sign-ups than this are an attack: confirmations wait until it is over, or an editor says no.
CONFIRMATIONS_PER_MINUTE = env.count("CONFIRMATIONS_PER_MINUTE", 120)
CONFIRMATIONS_PER_HOUR = env.count("CONFIRMATIONS_PER_HOUR", 1200)


# Words and time ----------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("ar", "العربية"),
]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"


# Pages -------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = None if LAPTOP else Path(env.text("STATIC_ROOT") or DATA / "static")
# A laptop serves straight from the packages, so that it starts without collecting anything.
WHITENOISE_USE_FINDERS = LAPTOP
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LAPTOP
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
MEDIA_ROOT = DATA / "media"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
    "frame-src": [CSP.SELF],
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
# An hour: long enough to matter, short enough to be a mistake that passes. Raise it when sure.
SECURE_HSTS_SECONDS = env.count("HSTS_SECONDS", 3600 if SITE_IS_SECURE else 0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_IS_SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 14 * 24 * 60 * 60
CSRF_COOKIE_HTTPONLY = True

SILENCED_SYSTEM_CHECKS = [
    # Our host is one of many under the paper's domain: it cannot promise TLS for the others.
    "security.W005",
    "security.W021",
    # The proxy redirects people to TLS. A one-click POST must never be redirected (RFC 8058).
    "security.W008",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in [
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    ]
]


# Logs --------------------------------------------------------------------------------------

LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOGGING = TO_CONSOLE | {
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # It tells of each attempt to understand a message, and with a traceback of each that failed.
    "loggers": {"flufl.bounce": {"level": "CRITICAL"}},
}
