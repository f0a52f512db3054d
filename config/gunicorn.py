"""How the web server serves: `gunicorn -c python:config.gunicorn`."""

wsgi_app = "config.wsgi"
worker_class = "gthread"
threads = 8
# A page that was asked for is finished; nobody waits longer than this for a restart.
graceful_timeout = 10
# Addresses of pages hold the tokens of readers, so there is no access log here; the proxy's
# should leave out what follows /c/, /b/, /u/ and /r/ as well.
accesslog = None
control_socket_disable = True
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.logs.Discreet",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "gunicorn.error": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "gunicorn.access": {"handlers": [], "level": "ERROR", "propagate": False},
    },
}
