"""Article to web page, email and plain text: compiled once per version."""

from newsletter.content.errors import ContentError
from newsletter.content.form_letters import Entries, FormLetter, Parts, Syntax
from newsletter.content.mail import (
    LIMIT,
    compile_versions,
    freeze_versions,
    size,
    specimen,
    unpublished,
)
from newsletter.content.mailing import Mailing, Reader

__all__ = [
    "LIMIT",
    "ContentError",
    "Entries",
    "FormLetter",
    "Mailing",
    "Parts",
    "Reader",
    "Syntax",
    "compile_versions",
    "freeze_versions",
    "size",
    "specimen",
    "unpublished",
]
