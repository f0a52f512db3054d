"""Campaign to batches to hand-over."""

from newsletter.delivery.outcomes import TransportError
from newsletter.delivery.trial import send_specimen, send_test
from newsletter.delivery.workers import Worker

__all__ = ["TransportError", "Worker", "send_specimen", "send_test"]
