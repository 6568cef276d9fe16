"""Contract tests for all metrics."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from pixyproxy.domain.image import Failure, Image, Status
from pixyproxy.domain.money.costs import Cost, CostState
from pixyproxy.ports.observation.metrics import CallTimes, Metrics, Survey
from tests.fixtures.images import NOW, make_draft, make_image
from tests.fixtures.prometheus import samples

NOTHING = Survey(available=False)


def ready(model: str | None = "duck-1", usd: str | None = "0.02", state: CostState = CostState.PRICED) -> Image:
    cost = Cost(None if usd is None else Decimal(usd), state, "test", date(2026, 11, 21))
    return make_image(generator="openai", model=model, size_bytes=1000, cost=cost, author="alice", prompt="a secret")


def failed(model: str | None = "duck-1", status: Status = Status.FAILED) -> Image:
    image = Image(1, make_draft(generator="openai", model=model, author="alice").request, Status.GENERATING, NOW)
    return image.failed(status, Failure("generator-unavailable", "No answer."), NOW)


class MetricsContract:
    """Tests for a subclass that sets `adapter` and defines the fixture `metrics`."""

    adapter: type[Metrics]

    async def series(self, metrics: Metrics, prefix: str = "", survey: Survey = NOTHING) -> dict[str, float]:
        text = await metrics.exposition(survey)
        return {name: value for name, value in samples(text).items() if name.startswith(f"pixyproxy_{prefix}")}

    async def test_requests_count_by_method_route_and_status(self, metrics: Metrics) -> None:
        for status in (200, 404, 404):
            metrics.request_ended("GET", "/image/{guid}", status)
        assert await self.series(metrics, "requests") == {
            'pixyproxy_requests_total{method="GET",route="/image/{guid}",status="200"}': 1,
            'pixyproxy_requests_total{method="GET",route="/image/{guid}",status="404"}': 2,
        }

    async def test_calls_are_in_flight_between_begin_and_end(self, metrics: Metrics) -> None:
        assert await self.series(metrics, "calls") == {"pixyproxy_calls_in_flight": 0}
        metrics.call_began()
        metrics.call_began()
        assert await self.series(metrics, "calls") == {"pixyproxy_calls_in_flight": 2}
        metrics.call_ended("openai", CallTimes(0, 0, 0))
        assert await self.series(metrics, "calls") == {"pixyproxy_calls_in_flight": 1}

    async def test_times_of_calls_are_in_histograms(self, metrics: Metrics) -> None:
        for upstream_s in (4.0, 25.0):
            metrics.call_began()
            metrics.call_ended("openai", CallTimes(waited_s=0.3, upstream_s=upstream_s, own_s=0.02))
        found = await self.series(metrics)
        label = 'upstream="openai"'
        for name, total in (("queue_wait", 0.6), ("upstream", 29.0), ("own", 0.04)):
            assert found[f"pixyproxy_{name}_seconds_count{{{label}}}"] == 2
            assert round(found[f"pixyproxy_{name}_seconds_sum{{{label}}}"], 6) == total
        assert found[f'pixyproxy_upstream_seconds_bucket{{le="5.0",{label}}}'] == 1
        assert found[f'pixyproxy_upstream_seconds_bucket{{le="30.0",{label}}}'] == 2

    async def test_pictures_count_by_outcome(self, metrics: Metrics) -> None:
        for image in (ready(), ready(), failed(), failed(status=Status.UNKNOWN)):
            metrics.picture_ended(image)
        assert await self.series(metrics, "generations") == {
            f'pixyproxy_generations_total{{model="duck-1",outcome="{outcome}",upstream="openai"}}': count
            for outcome, count in (("ready", 2), ("failed", 1), ("unknown", 1))
        }
        assert await self.series(metrics, "written") == {"pixyproxy_written_bytes_total": 2000}

    async def test_costs_add_up_by_state(self, metrics: Metrics) -> None:
        metrics.picture_ended(ready(usd="0.02"))
        metrics.picture_ended(ready(usd="0.03"))
        metrics.picture_ended(ready(usd="0.5", state=CostState.ESTIMATED))
        metrics.picture_ended(ready(usd=None, state=CostState.UNPRICED))
        found = await self.series(metrics, "cost")
        label = 'model="duck-1",state="{}",upstream="openai"'
        assert {name: round(usd, 6) for name, usd in found.items()} == {
            f"pixyproxy_cost_usd_total{{{label.format(state)}}}": usd
            for state, usd in (("priced", 0.05), ("estimated", 0.5), ("unpriced", 0.0))
        }

    async def test_a_picture_without_a_cost_counts(self, metrics: Metrics) -> None:
        image = ready()
        assert image.result is not None
        metrics.picture_ended(replace(image, result=replace(image.result, cost=None)))
        assert len(await self.series(metrics, "generations")) == 1
        assert await self.series(metrics, "cost") == {}

    async def test_a_model_has_a_name_once_a_picture_of_it_was_ready(self, metrics: Metrics) -> None:
        metrics.picture_ended(failed("made up"))
        metrics.picture_ended(ready("duck-2"))
        metrics.picture_ended(failed("duck-2"))
        metrics.picture_ended(ready(None))
        models = {
            (name.partition('model="')[2].partition('"')[0], name.partition('outcome="')[2].partition('"')[0])
            for name in await self.series(metrics, "generations")
        }
        assert models == {("other", "failed"), ("duck-2", "ready"), ("duck-2", "failed"), ("default", "ready")}

    async def test_models_make_a_bounded_number_of_series(self, metrics: Metrics) -> None:
        for number in range(200):
            metrics.picture_ended(ready(f"duck-{number}"))
        found = await self.series(metrics, "generations")
        assert 10 <= len(found) <= 100
        assert sum(found.values()) == 200

    async def test_any_text_is_a_model(self, metrics: Metrics) -> None:
        strange = ['a "duck"\n# x 1', "\ud800", "鴨" * 300, "\\"]
        for model in strange:
            metrics.picture_ended(ready(model))
        found = await self.series(metrics, "generations")
        assert len(found) == len(strange)

    async def test_no_series_names_a_user_or_a_prompt(self, metrics: Metrics) -> None:
        metrics.picture_ended(ready())
        metrics.picture_ended(failed())
        text = (await metrics.exposition(NOTHING)).decode()
        assert "alice" not in text
        assert "secret" not in text

    async def test_the_survey_is_shown(self, metrics: Metrics) -> None:
        survey = Survey(
            available=True,
            queued=1,
            unknown=2,
            reservations=3,
            reserved_usd=Decimal("0.4"),
            possibly_billed_usd=Decimal("0.5"),
            images=6,
            stored_bytes=7,
        )
        found = await self.series(metrics, survey=survey)
        del found["pixyproxy_calls_in_flight"]
        assert {name: value for name, value in found.items() if not name.endswith("_total")} == {
            "pixyproxy_database_available": 1,
            "pixyproxy_queued": 1,
            "pixyproxy_unknown": 2,
            "pixyproxy_reservations": 3,
            "pixyproxy_reserved_usd": 0.4,
            "pixyproxy_possibly_billed_usd": 0.5,
            "pixyproxy_images": 6,
            "pixyproxy_stored_bytes": 7,
        }

    async def test_what_is_not_known_is_left_out(self, metrics: Metrics) -> None:
        found = await self.series(metrics, survey=Survey(available=False))
        assert found["pixyproxy_database_available"] == 0
        assert not {name for name in found if name.startswith(("pixyproxy_queued", "pixyproxy_images"))}
