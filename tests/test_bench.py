"""`bin/bench`: at a size that shows that it measures, not how fast."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.figures import FIGURES
from tests.benchmarks.processes import ROOT, FailedError
from tests.benchmarks.report import Row, compared
from tests.benchmarks.sink import Arrived


def bench(*words):
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *words],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_name_it_lists_what_it_can_measure():
    done = bench()

    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*FIGURES, "all"]


def test_a_campaign_is_measured_from_first_to_last(postgres_server, redis_server_url, compiler):
    done = bench("cpu", "--readers", "50", "--runs", "1", "--json")

    said = json.loads(done.stdout)
    assert set(said) == {"date", "machine", "versions", "figures"}
    assert set(said["machine"]) == {"cpu", "cores", "memory", "kernel"}
    assert {"python", "django", "postgresql", "redis", "uvloop"} <= set(said["versions"])
    (cpu,) = said["figures"]
    assert list(cpu) == ["name", "value", "unit", "baseline", "ratio", "must", "ok"]
    assert cpu["value"] > 0
    assert cpu["baseline"] > 0
    # Whether it is enough is nothing that fifty readers tell.
    assert done.returncode == (0 if cpu["ok"] else 1)


def test_a_figure_is_enough_or_it_is_not():
    assert Row("memory", 150, "MB", must="value <= 150").ok
    assert not Row("memory", 151, "MB", must="value <= 150").ok
    assert not compared("speed", "messages/s", [(100, 37)], "ratio >= 0.38").ok
    assert Row("size", 12_500, "bytes").ok


def test_a_ratio_is_the_median_of_runs_that_took_turns():
    row = compared("speed", "messages/s", [(100, 50), (200, 80), (10, 9)], "ratio >= 0.5")

    assert (row.baseline, row.value, row.ratio) == (100, 50, 0.5)


@pytest.mark.parametrize("recipients", [["a", "b", "b"], ["a", "b"], ["a", "b", "c", "d"]])
def test_nobody_is_measured_who_got_it_twice_or_not_at_all(recipients):
    arrived = Arrived(list(range(len(recipients))), [1] * len(recipients), recipients)

    with pytest.raises(FailedError):
        arrived.check(3)
