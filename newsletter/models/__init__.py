"""The rows that say what is sent, and what became of it."""

from newsletter.models.articles import Article
from newsletter.models.batches import Batch
from newsletter.models.bounces import Bounce
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Deferral, Delivery
from newsletter.models.events import Event
from newsletter.models.parkings import Parking
from newsletter.models.versions import Entry, Version

__all__ = [
    "Article",
    "Batch",
    "Bounce",
    "Campaign",
    "Deferral",
    "Delivery",
    "Entry",
    "Event",
    "Parking",
    "Version",
]
