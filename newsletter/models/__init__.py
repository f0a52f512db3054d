"""The rows that say what is sent, and what became of it."""

from newsletter.models.articles import Article
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Batch, Deferral, Delivery
from newsletter.models.events import Event
from newsletter.models.versions import Entry, Version

__all__ = [
    "Article",
    "Batch",
    "Campaign",
    "Deferral",
    "Delivery",
    "Entry",
    "Event",
    "Version",
]
