"""Everything that may break while a campaign is sent, at a size that a suite can bear.

`bin/bench faults` plays the same scenarios with 50,000 readers and longer outages, and those that
take too long for here. Each runs on what the suite runs on: SQLite, or PostgreSQL and Redis.
"""

from contextlib import ExitStack

import pytest
from django.conf import settings

from tests.faults.office import Ground
from tests.faults.scenarios import ON_EITHER, ON_SQLITE, SCENARIOS, Scale

SMALL = Scale(readers=1200, seconds=5, kills=4, outage=4, cuts=24, clicks=100)
# Each of these waits for a lease to run out, or has a near relation that is tried here.
ONLY_MEASURED = {
    "frozen",
    "frozen_for_long",
    "killed_while_cancelled",
    "network_frozen",
    "postgres_restarted",
    "postgres_disk_full",
    "redis_restarted",
}
ON_SERVICES = SCENARIOS.keys() - ON_SQLITE - ONLY_MEASURED
NAMES = ON_SQLITE | ON_EITHER if settings.EMBEDDED else ON_SERVICES


@pytest.fixture(scope="module")
def ground(postgres_server, redis_server_url):
    """Its servers are its own, as some are broken; the others tell that there are programs."""
    with ExitStack() as stack:
        yield Ground(SMALL.readers, stack, is_embedded=settings.EMBEDDED)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name in NAMES])
def test_nobody_is_lost_and_nobody_mailed_twice(ground, name):
    SCENARIOS[name](ground, SMALL).check()
