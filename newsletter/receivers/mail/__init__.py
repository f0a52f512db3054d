"""Mail that comes back: bounces, complaints, readers who leave by mail; and all the rest."""

from newsletter.receivers.mail.parts import LARGEST
from newsletter.receivers.mail.reading import Kind, Reading, read

__all__ = ["LARGEST", "Kind", "Reading", "read"]
