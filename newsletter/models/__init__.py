"""The rows that say what is sent, and what became of it."""

from newsletter.models.articles import Article
from newsletter.models.batches import Batch
from newsletter.models.bounces import Bounce
from newsletter.models.campaigns import Campaign
from newsletter.models.deliveries import Deferral, Delivery
from newsletter.models.events import Event
from newsletter.models.limits import DayCount, RateLimit
from newsletter.models.parkings import Parking
from newsletter.models.versions import Entry, Version
from newsletter.models.warmups import WarmUp

__all__ = [
    "Article",
    "Batch",
    "Bounce",
    "Campaign",
    "DayCount",
    "Deferral",
    "Delivery",
    "Entry",
    "Event",
    "Parking",
    "RateLimit",
    "Version",
    "WarmUp",
]
