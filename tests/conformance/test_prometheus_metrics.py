"""PrometheusMetrics: the port's contract."""

import pytest

from pixyproxy.adapters.prometheus.metrics import PrometheusMetrics
from tests.conformance.contracts.metrics import MetricsContract


class TestPrometheusMetrics(MetricsContract):
    adapter = PrometheusMetrics

    @pytest.fixture
    def metrics(self) -> PrometheusMetrics:
        return PrometheusMetrics()
