"""Records made of tags, "v=DMARC1; p=none": those of DKIM, DMARC and BIMI."""


def read(record: str) -> dict[str, str]:
    """The tags by name, in their order, without the white space around; a broken one is left out.

    Of a tag that stands twice the first counts.
    """
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, mark, value = part.partition("=")
        if mark:
            tags.setdefault(name.strip(), value.strip())
    return tags
