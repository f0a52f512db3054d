"""How the web server serves: `gunicorn -c python:config.gunicorn`."""

from config.logs import TO_CONSOLE

wsgi_app = "config.wsgi"
worker_class = "gthread"
threads = 8
# A page that was asked for is finished; nobody waits longer than this for a restart.
graceful_timeout = 10
# Addresses of pages hold the tokens of readers, so there is no access log here; the proxy's
# should leave out what follows /c/, /b/, /u/ and /r/ as well.
accesslog = None
control_socket_disable = True
logconfig_dict = TO_CONSOLE | {
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "gunicorn.error": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "gunicorn.access": {"handlers": [], "level": "ERROR", "propagate": False},
    },
}
