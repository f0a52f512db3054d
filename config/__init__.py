"""The house around the two apps: settings, addresses, workers, checks."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
