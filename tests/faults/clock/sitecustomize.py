"""Makes a process's clock wrong by CLOCK_AHEAD seconds; monotonic clocks have no such thing."""

import os
from datetime import UTC, datetime, timedelta

import time_machine

if ahead := os.environ.get("CLOCK_AHEAD"):
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(ahead)), tick=True).start()
