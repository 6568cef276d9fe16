"""Schemas of response bodies, for the OpenAPI document."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from pixyproxy.domain.image import Status, Visibility
from pixyproxy.domain.money.budgets import Per
from pixyproxy.domain.money.costs import CostState

_GUID = "0b9f1c2d-6a41-4c0e-9a53-0d6f2f1f7c55"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_IMAGE: dict[str, Any] = {
    "guid": _GUID,
    "filename": "a-rubber-duck-on-a-sink-0b9f1c2d.png",
    "prompt": "a rubber duck on a sink",
    "tags": ["duck"],
    "author": "alice",
    "visibility": "public",
    "status": "ready",
    "hidden": False,
    "created_at": "2026-11-21T10:00:00.123456Z",
    "updated_at": "2026-11-21T10:00:09.654321Z",
    "media_type": "image/png",
    "width": 1024,
    "height": 1024,
    "size_bytes": 1482211,
    "sha256": _SHA256,
    "generator": "openai",
    "model": "gpt-image-2",
    "parameters": {"size": "1024x1024"},
    "revised_prompt": None,
    "usage": {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068},
    "cost": {"usd": "0.031740", "state": "priced", "source": "genai-prices 0.2.3", "prices_of": "2026-11-21"},
    "queue": None,
    "derived_from": [],
    "content_url": f"/image/{_GUID}/content/a-rubber-duck-on-a-sink-0b9f1c2d.png",
    "thumbnail_url": f"/image/{_GUID}/thumbnail",
    "placeholder": "data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA",
}


class ResponseSchema(BaseModel):
    """Base of response bodies: they have no undocumented fields."""

    model_config = ConfigDict(extra="forbid")


class ImageError(ResponseSchema):
    """The reason why there is no picture."""

    code: str = Field(description="A stable slug.", examples=["prompt-rejected"])
    message: str = Field(description="The generator's own text, if it gave one.")


class CostDetail(ResponseSchema):
    """The cost of a picture, in US dollars as decimal text."""

    usd: str | None = Field(description="Null if no price is known, which is not free.", examples=["0.031740"])
    state: CostState = Field(
        description="`estimated`: from the highest price, since the generator reported too little. `possibly-billed`: "
        "what may have been billed for an image that is `unknown`. `settled`: a person has decided."
    )
    source: str | None = Field(description="Where the price is from.", examples=["genai-prices 0.2.3"])
    prices_of: date | None = Field(description="The day whose prices were used.", examples=["2026-11-21"])


class QueueDetail(ResponseSchema):
    """The place of a picture that waits for its turn."""

    position: int = Field(description="1 for the next call of its model.", examples=[12])
    eta_s: int | None = Field(description="Seconds until its turn, about; null while it is not known.", examples=[95])


class ImageDetail(ResponseSchema):
    """All details of an image; those that the generator does not report are null."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_IMAGE]})

    guid: str = Field(json_schema_extra={"format": "uuid"})
    filename: str
    prompt: str
    tags: list[str]
    author: str | None = Field(description="The username; null if the image was created anonymously.")
    visibility: Visibility
    status: Status
    hidden: bool = Field(
        description="True if staff hid it: only its author, the teachers of the class and administrators see it."
    )
    created_at: datetime
    updated_at: datetime
    media_type: str | None = Field(description="Detected from the bytes.")
    width: int | None = Field(description="Pixels.")
    height: int | None = Field(description="Pixels.")
    size_bytes: int | None
    sha256: str | None = Field(description="Of the bytes, in hexadecimal.")
    generator: str
    model: str | None
    parameters: dict[str, Any] = Field(
        description="The options as they were passed to the generator. Lists cut values above 256 characters, so that "
        "they end in `…`, and show at most 64."
    )
    parameters_cut: Literal[True] | SkipJsonSchema[None] = Field(
        None, description="Only in a list that does not show all of the parameters; the details have them."
    )
    revised_prompt: str | None
    usage: dict[str, Any] | None = Field(description="As the generator reports it.")
    cost: CostDetail | None = Field(description="Null while it is not known, and for pictures of before prices.")
    queue: QueueDetail | None = Field(description="While it is `queued`; in lists only if it waits in this process.")
    derived_from: list[str] = Field(description="The GUIDs of the stored images that this is an edit of.")
    content_url: str = Field(description="The path of the bytes on this host, which ends in the file name.")
    thumbnail_url: str = Field(description="The path of a small picture on this host; `?size=` selects its size.")
    placeholder: str | None = Field(
        description="A preview of a few pixels as a `data:` URI of less than 500 characters; null until it exists."
    )
    error: ImageError | SkipJsonSchema[None] = Field(None, description="Only if there is no picture.")


class BudgetDetail(ResponseSchema):
    """A budget and what has been taken of it in the current period, in US dollars as decimal text."""

    scope: str = Field(description="`service`, `class:KEY`, `user:NAME` or `each:KEY`.", examples=["class:cs101"])
    per: Per
    cap_usd: str = Field(examples=["25.000000"])
    spent_usd: str = Field(examples=["3.174000"])
    reserved_usd: str = Field(description="For pictures that are being made.", examples=["0.071430"])
    possibly_usd: str = Field(description="For pictures that are `unknown`.", examples=["0.000000"])
    resets_at: datetime | None = Field(description="Null for a total.", examples=["2026-12-01T00:00:00.000000Z"])
    user: str | SkipJsonSchema[None] = Field(
        None, description="Only with `each:KEY`: the user whose sums these are.", examples=["alice"]
    )


class UsageDetail(ResponseSchema):
    """The usage of one group; its name is under what the rows are grouped by. Amounts are US dollars, decimal text."""

    user: str | None = Field(None, description="Null for anonymous callers.", examples=["alice"])
    class_: str | None = Field(None, alias="class", description="Null for users in no class.", examples=["cs101"])
    model: str | None = Field(
        None, description="Null for the default model, where there is no picture.", examples=["gpt-image-2"]
    )
    day: date | SkipJsonSchema[None] = Field(None, description="The day (UTC) on which the calls began.")
    pictures: int = Field(examples=[12])
    failed: int = Field(description="Certainly not billed.", examples=[1])
    unknown: int = Field(description="May have been billed.", examples=[0])
    unpriced: int = Field(description="Pictures without a known price, which `usd` lacks.", examples=[0])
    input_tokens: int = Field(description="As far as the generator reports them.", examples=[144])
    output_tokens: int = Field(examples=[12672])
    usd: str = Field(description="What the pictures cost.", examples=["0.380880"])
    reserved: str = Field(description="For pictures that are being made.", examples=["0.000000"])
    possibly: str = Field(description="For pictures that are `unknown`.", examples=["0.000000"])


class SettlementDetail(ResponseSchema):
    """An image that was settled, or only its charge if the image was deleted: then `status` and `cost` are null."""

    guid: str = Field(json_schema_extra={"format": "uuid"})
    status: Status | None = Field(
        description="`failed` if nothing was billed, else still `unknown`.", examples=["unknown"]
    )
    cost: CostDetail | None


class PriceDetail(ResponseSchema):
    """The price of a request, in US dollars as decimal text."""

    usd_max: str | None = Field(description="What it costs at most; null if no price is known.", examples=["0.071430"])
    usd_typical: str | None = Field(description="What it typically costs.", examples=["0.052780"])
    state: Literal["priced", "estimated", "unpriced"] = Field(
        description="`estimated`: only a ceiling is known. `unpriced`: no price is known, which is not free."
    )
    source: str | None = Field(description="Where the price is from.", examples=["genai-prices 0.2.3"])
    budgets: list[BudgetDetail] = Field(description="The budgets that apply to the caller.")


class FieldProblem(ResponseSchema):
    """One invalid field of the input."""

    loc: list[str | int] = Field(examples=[["prompt"]])
    msg: str = Field(examples=["must not be blank: describe the picture"])


class Problem(ResponseSchema):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:pixyproxy:problem:validation-failed"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["Not valid: prompt."])
    instance: str = Field(description="The path of the request.", examples=["/image"])
    code: str = Field(description="A stable slug.", examples=["validation-failed"])
    request_id: str = Field(examples=["web1-20261121T100000123456-140213"])
    errors: list[FieldProblem] = Field([], description="Only with 422 for invalid input.")
    guid: str = Field("", description="Only if the error concerns a recorded image.")


class Alive(ResponseSchema):
    """The process is alive."""

    status: Literal["ok"]


class Ready(ResponseSchema):
    """The parts needed to serve, each with `ok` or an error code, and the generator with the reason."""

    status: Literal["ok", "unavailable"]
    database: str = Field(examples=["ok"])
    blob_store: str = Field(examples=["ok"])
    generator: str = Field(examples=["ok"])
