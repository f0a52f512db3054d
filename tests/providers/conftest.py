"""The fake that a test names: `@pytest.mark.parametrize("fake", ["mailgun"], indirect=True)`."""

import pytest

from tests.providers import provider


@pytest.fixture
def fake(request):
    with provider(request.param) as fake:
        yield fake
