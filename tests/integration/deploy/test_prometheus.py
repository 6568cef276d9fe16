"""The alerts and the dashboard: promtool accepts them, they name only metrics that exist, and the docs explain each."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixyproxy.adapters.prometheus.metrics import PrometheusMetrics
from pixyproxy.domain.image import Failure, Status
from pixyproxy.ports.observation.metrics import CallTimes, Survey
from tests.conformance.contracts.metrics import ready
from tests.fixtures.images import NOW
from tests.fixtures.prometheus import samples
from tests.fixtures.requirements import missing

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
NAME = re.compile(r"\bpixyproxy_\w+")


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    return found


def queries() -> list[str]:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "pixyproxy.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture
async def known() -> set[str]:
    """Return the names of all series."""
    metrics, image = PrometheusMetrics(), ready()
    metrics.request_ended("GET", "/image", 200)
    metrics.call_began()
    metrics.call_ended("openai", CallTimes(1, 1, 1))
    metrics.picture_ended(image)
    metrics.picture_ended(image.failed(Status.FAILED, Failure("x", "y"), NOW))
    survey = Survey(True, 1, 1, 1, 1, 1, 1, 1)  # type: ignore[arg-type]
    return {series.partition("{")[0] for series in samples(await metrics.exposition(survey))}


@pytest.mark.parametrize("arguments", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_accepts_the_alerts(arguments: list[str]) -> None:
    if shutil.which("promtool") is None:
        missing("PROMTOOL", "promtool is not installed here (Debian's package prometheus)")
    done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboard_name_only_metrics_that_exist(known: set[str]) -> None:
    expressions = [rule["expr"] for rule in rules()] + queries()
    assert len(expressions) > 20
    named = {name for expression in expressions for name in NAME.findall(expression)}
    assert named - known == set()


def test_every_gauge_is_on_the_dashboard(known: set[str]) -> None:
    shown = {name for query in queries() for name in NAME.findall(query)}
    gauges = {name for name in known if not name.endswith(("_total", "_bucket", "_count", "_sum"))}
    assert gauges - shown == set()


def test_the_docs_name_every_metric_and_alert(known: set[str]) -> None:
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in known} - set(NAME.findall(metrics)) == set()
    operations = (ROOT / "docs" / "operations.md").read_text()
    alerts = {rule["alert"] for rule in rules()}
    assert alerts == set(re.findall(r"^\| `(PixyProxy\w+)` \|", operations, re.MULTILINE))
