"""Campaign to batches to hand-over."""

from newsletter.delivery.outcomes import TransportError
from newsletter.delivery.sending import send
from newsletter.delivery.transports import Transports
from newsletter.delivery.trial import send_test

__all__ = ["TransportError", "Transports", "send", "send_test"]
