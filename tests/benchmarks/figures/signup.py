"""The sign-up form: how many readers a second, what robots cost, and what its answers take."""

import contextlib
import json
import math
import random
import statistics
import time
from collections.abc import Iterator

from tests.benchmarks.desk_visits import Editor
from tests.benchmarks.newsroom import Newsroom
from tests.benchmarks.processes import Program, say, wait_until
from tests.benchmarks.report import Row
from tests.benchmarks.signups import percentile, send
from tests.benchmarks.sink import sink
from tests.benchmarks.workbench import CONNECTIONS, Workbench, sent

_SIGN_UPS = 12_000
_AT_ONCE = 8
_ROBOTS_A_SECOND = 500
_ATTACK = 60
# A campaign that lasts about as long as the attack.
_READERS = 600_000
_SAMPLES = 200
_BETWEEN_VISITS = 0.25
_KINDS = ["new", "pending", "confirmed", "left", "complained", "refused"]


def measure(bench: Workbench) -> Iterator[Row]:
    """Sign-ups a second with all guards, a newsroom and a campaign among robots, equal answers"""
    newsroom = bench.newsrooms.on_postgres(bench.readers(_READERS))
    yield from _people(newsroom, min(_SIGN_UPS, bench.readers(_SIGN_UPS)))
    yield from _among_robots(newsroom, bench)
    yield from _equal(newsroom)


def _people(newsroom: Newsroom, count: int) -> Iterator[Row]:
    before = _written_to(newsroom)
    with sink() as mail, newsroom.web_server(WEB_CONCURRENCY="2"), newsroom.urgent_worker(mail):
        with newsroom.crowd("people", count, _AT_ONCE) as crowd:
            began = time.monotonic()
            said = _told(crowd, 60 + count / 50)
        waited_for = before + count
        wait_until(lambda: _written_to(newsroom) >= waited_for, 60 + count / 10, "all have mail")
        lasted = time.monotonic() - began
    say(f"  {count} sign-ups: {said}, written to after {lasted:.1f} s")
    assert said["answers"] == {"303": count}
    yield Row("signup: taken", count / said["seconds"], "1/s", must="value >= 300")
    yield Row("signup: taken, let in and written to", count / lasted, "1/s")
    yield Row("signup: p50", said["p50"], "ms")
    yield Row("signup: p99", said["p99"], "ms", must="value <= 100")


def _written_to(newsroom: Newsroom) -> int:
    (count,) = newsroom.ask("SELECT count(*) FROM subscribers_letter WHERE sent_at IS NOT NULL")
    return int(str(count))


def _among_robots(newsroom: Newsroom, bench: Workbench) -> Iterator[Row]:
    seconds = min(_ATTACK, max(bench.readers(_READERS) / 10_000, 5))
    pairs, visits = [], []
    for _run in range(bench.runs):
        quiet = _campaign(newsroom)
        with _robots(newsroom, seconds), Editor(newsroom.port).visiting(_BETWEEN_VISITS) as editor:
            pairs.append((quiet, _campaign(newsroom)))
        visits += editor.milliseconds
    ratio = statistics.median(among / quiet for quiet, among in pairs)
    among, quiet = (statistics.median(one[place] for one in pairs) for place in (1, 0))
    yield Row("signup: campaign among robots", among, "messages/s", quiet, ratio, "ratio >= 0.8")
    yield Row("signup: newsroom among robots, p50", percentile(visits, 50), "ms")
    yield Row("signup: newsroom among robots", max(visits), "ms", must="value <= 500")


def _campaign(newsroom: Newsroom) -> float:
    with sink() as mail, newsroom.bulk_workers(mail) as workers:
        return sent(newsroom, mail, workers, CONNECTIONS).per_second


@contextlib.contextmanager
def _robots(newsroom: Newsroom, seconds: float) -> Iterator[None]:
    """A web server, and who comes to it."""
    with newsroom.web_server(), newsroom.crowd("robots", _ROBOTS_A_SECOND, seconds) as crowd:
        crowd.tell("go")
        yield
        said = json.loads(crowd.result(seconds + 120).splitlines()[-1])
        say(f"  {_ROBOTS_A_SECOND} robots a second for {seconds:.0f} s: {said}")


def _told(crowd: Program, within: float) -> dict[str, float]:
    crowd.tell("go")
    return dict(json.loads(crowd.result(within).splitlines()[-1]))


def _equal(newsroom: Newsroom) -> Iterator[Row]:
    """ENU-02: nobody can tell by the clock who reads us."""
    newsroom.desk("acquaint")
    with newsroom.web_server():
        waits = _waits(newsroom.port)
    medians = [statistics.median(waits[kind]) for kind in _KINDS]
    apart = max(medians) - min(medians)
    yield Row("signup: medians apart, by kind of address", apart, "ms", must="value <= 5")
    pairs = [(one, other) for one in _KINDS for other in _KINDS if one < other]
    least = min(_kolmogorov(waits[one], waits[other]) for one, other in pairs)
    yield Row("signup: least p of two kinds (KS)", least, "", must="value >= 0.001")


def _waits(port: int) -> dict[str, list[float]]:
    """In turns, each time in another order: what the machine does meanwhile meets all alike."""
    waits: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    draw = random.Random(6)
    for number in range(_SAMPLES):
        for kind in draw.sample(_KINDS, len(_KINDS)):
            waits[kind].append(send(port, f"{kind}{number}@d{number}.example").milliseconds)
    return waits


def _kolmogorov(one: list[float], other: list[float]) -> float:
    """How probable so great a difference between two samples is if there is none (asymptotic)."""
    moments = sorted([(wait, 0) for wait in one] + [(wait, 1) for wait in other])
    seen, widest = [0, 0], 0.0
    for _wait, which in moments:
        seen[which] += 1
        widest = max(widest, abs(seen[0] / len(one) - seen[1] / len(other)))
    scale = widest * math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scale) ** 2) for k in range(1, 100))
    return min(max(2 * sum(terms), 0.0), 1.0) if scale > 0.2 else 1.0
