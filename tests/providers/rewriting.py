"""What providers do to a message unless they are told not to: they count opens and clicks."""

import re

_LINK = re.compile(r'(href=")(https?://)', re.IGNORECASE)


def with_clicks(html: str, host: str) -> str:
    """Every link goes by way of the provider."""
    return _LINK.sub(rf"\1https://{host}/c/\2", html)


def with_opens(html: str, host: str) -> str:
    """A picture that nobody sees."""
    picture = f'<img src="https://{host}/o/1.gif" width="1" height="1" alt="">'
    before, end, after = html.rpartition("</body>")
    return f"{before}{picture}{end}{after}" if end else html + picture
