"""Article to web page, email and plain text: compiled once per version."""

from newsletter.content.errors import ContentError
from newsletter.content.mail import LIMIT, compile_versions, freeze_versions, size, unpublished
from newsletter.content.mailing import Mailing, Parts, Reader

__all__ = [
    "LIMIT",
    "ContentError",
    "Mailing",
    "Parts",
    "Reader",
    "compile_versions",
    "freeze_versions",
    "size",
    "unpublished",
]
