"""A provider that only counts, as a program: `python -m tests.providers mailgun`.

Its first line is JSON: the URL, and the OPTIONS of a mailer that sends there. GET /counts there
tells the calls and readers so far. It ends with its standard input, so with whoever started it.
"""

import json
import sys

from tests.providers import APIS
from tests.providers.fake import Counter
from tests.providers.http import serving


def main() -> None:
    api = APIS[sys.argv[1]]()
    with serving(Counter(api).answer) as url:
        print(json.dumps({"url": url, "options": api.options(url)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
