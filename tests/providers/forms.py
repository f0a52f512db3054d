"""Forms as browsers send them: multipart (RFC 7578) or urlencoded."""

import re
from urllib.parse import parse_qs

_NAME = re.compile(rb'\bname="([^"]*)"')


def form(body: bytes, content_type: str) -> dict[str, list[str]]:
    """Each field with all its values. Raises ValueError where it is no form."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    _kind, found, boundary = content_type.partition("boundary=")
    if not found:
        raise ValueError(f"No form: {content_type!r}")
    return _multipart(body, b"--" + boundary.strip('"').encode("ascii"))


def _multipart(body: bytes, delimiter: bytes) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for part in body.split(delimiter)[1:-1]:
        head, _blank, value = part.partition(b"\r\n\r\n")
        if not (name := _NAME.search(head)):
            raise ValueError(f"A part without a name: {head!r}")
        fields.setdefault(name[1].decode(), []).append(value.removesuffix(b"\r\n").decode())
    return fields
