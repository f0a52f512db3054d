"""The web process. It refuses to serve what a system check calls an error."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.wsgi import get_wsgi_application

from config.checks import refuse_errors

application = get_wsgi_application()
refuse_errors()
