"""`pixyproxy price`: tell what pictures of a model cost."""

import asyncio
from typing import Annotated

import typer

from pixyproxy.containers import build_container
from pixyproxy.domain.money.amounts import format_usd
from pixyproxy.domain.money.costs import CostState
from pixyproxy.domain.money.prices import Price, PricedRequest
from pixyproxy.entrypoints.logs import escaped
from pixyproxy.environment import load_settings

_PROMPT = "x" * 400
"""A prompt of usual length: its tokens cost little beside those of a picture."""
_MAX_N = 10


def price(
    model: Annotated[str, typer.Argument(help="The model, such as gpt-image-2.")],
    size: Annotated[str | None, typer.Option(help="Such as 1024x1024; default: the model's choice.")] = None,
    quality: Annotated[str | None, typer.Option(help="Such as low; default: the model's choice.")] = None,
    n: Annotated[int, typer.Option(help="How many pictures.", min=1, max=_MAX_N)] = 1,
) -> None:
    """Tell the price of pictures with a prompt of 400 characters; calls nobody and costs nothing."""
    options = {name: value for name, value in (("size", size), ("quality", quality)) if value is not None}
    container = build_container(load_settings())
    request = PricedRequest(model, _PROMPT, options, n)
    found = asyncio.run(container.model_prices().price_of(request, container.clock().now()))
    for name, text in _rows(request, found):
        typer.echo(f"{name:<10}{escaped(text)}")
    if found.state is CostState.UNPRICED:
        typer.echo("To set a price, name a file in PIXYPROXY_PRICES that holds, with yours (docs/prices.md):")
        typer.echo(f'  [[prices]]\n  model = "{escaped(model)}"\n  usd_per_image = "0.04"')


def _rows(request: PricedRequest, found: Price) -> list[tuple[str, str]]:
    rows = [
        ("model", str(request.model)),
        ("size", str(request.options.get("size", "auto"))),
        ("quality", str(request.options.get("quality", "auto"))),
        ("pictures", str(request.n)),
    ]
    if found.state is CostState.UNPRICED:
        return [*rows, ("price", "unpriced: no price is known, which does not mean that it is free")]
    amounts = [("at most", f"{format_usd(found.usd_max)} USD"), ("typically", f"{format_usd(found.usd_typical)} USD")]
    return [*rows, *amounts, ("state", found.state), ("source", found.source or "")]
