"""A campaign compiled to its versions: what goes out is what was previewed."""

from newsletter.models import Campaign, Version

# Gmail clips a mail whose HTML is longer, and with it the link to leave (HTM-01).
LIMIT = 102_400


def compile_versions(campaign: Campaign) -> list[Version]:
    """One unsaved version for each of the campaign's lists. Raises ContentError."""
    raise NotImplementedError


def size(version: Version) -> int:
    """How many bytes of HTML a reader gets, at most; compare with LIMIT.

    `version.is_excerpt` says whether it was cut to fit, `version.whole_size` what the whole takes.
    """
    raise NotImplementedError
