"""The filters of the gallery, and the addresses that change them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from pixyproxy.domain.user import User

Query = Mapping[str, object]
"""Parameters of the address: texts, and the tags as a list."""

_SUGGESTED_TAGS, _SUGGESTED_MODELS = 8, 4
_SPANS = (("Today", timedelta(days=1)), ("This week", timedelta(days=7)), ("This month", timedelta(days=30)))


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that one click sets or takes away; `query` is the address that does so."""

    label: str
    query: str
    is_on: bool
    is_removable: bool = False


def search_of(query: Query, user: User | None) -> dict[str, object]:
    """Return the parameters of `GET /image` for those of the gallery: `mine` is the author, blank ones are none."""
    search = {name: value for name, value in query.items() if name != "mine" and not _is_blank(value)}
    if query.get("mine") and user is not None:
        search["author"] = user.username
    return search


def address_of(query: Query, **changes: object) -> str:
    """Return the address of the gallery with some parameters changed (None: left out), from its first page on."""
    return f"/{query_text({**query, 'cursor': None, **changes})}"


def query_text(query: Query) -> str:
    """Return the parameters as they follow a path, without those that are blank."""
    kept = {name: value for name, value in query.items() if not _is_blank(value)}
    return f"?{urlencode(kept, doseq=True)}" if kept else ""


def chips_of(
    query: Query, user: User | None, tags: Sequence[str], models: Sequence[str], now: datetime
) -> list[list[Chip]]:
    """Return the filters in groups: whose pictures, and which.

    `tags` and `models` are those of the pictures that are shown; models are no choice where there is only one.
    """
    mine, private = bool(query.get("mine")), query.get("visibility") == "private"
    whose = [Chip("Everybody", address_of(query, mine=None, visibility=None), not mine and not private)]
    if user is not None:
        whose += [
            Chip("Mine", address_of(query, mine="1", visibility=None), mine and not private),
            Chip("Private", address_of(query, mine="1", visibility="private"), private),
        ]
    chosen = _list(query.get("tag"))
    which = [
        Chip(f"#{tag}", address_of(query, tag=[other for other in chosen if other != tag]), True, True)
        for tag in chosen
    ]
    for name, label in (
        ("author", "by {}"),
        ("model", "{}"),
        ("filename", "file {}"),
        ("derived_from", "made from {}"),
    ):
        if value := query.get(name):
            which.append(Chip(label.format(value), address_of(query, **{name: None}), True, True))
    which += [
        Chip(f"#{tag}", address_of(query, tag=[*chosen, tag]), False)
        for tag, _ in Counter(tags).most_common(_SUGGESTED_TAGS + len(chosen))
        if tag not in chosen
    ][:_SUGGESTED_TAGS]
    offered = Counter(models).most_common(_SUGGESTED_MODELS)
    if len(offered) > 1:
        which += [Chip(model, address_of(query, model=model), False) for model, _ in offered]
    return [whose, which, _spans(query, now)]


def is_filtered(query: Query) -> bool:
    """Return whether the address asks for some of the pictures only."""
    return any(value for name, value in query.items() if name not in {"cursor", "limit"})


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], [""])


def _spans(query: Query, now: datetime) -> list[Chip]:
    after = query.get("created_after")
    chips = []
    for label, span in _SPANS:
        start = f"{now - span:%Y-%m-%d}"
        is_on = after == start
        chips.append(Chip(label, address_of(query, created_after=None if is_on else start), is_on, is_on))
    if after and not any(chip.is_on for chip in chips):
        chips.insert(0, Chip(f"since {after}", address_of(query, created_after=None), True, True))
    if before := query.get("created_before"):
        chips.insert(0, Chip(f"until {before}", address_of(query, created_before=None), True, True))
    return chips


def _list(value: object) -> list[str]:
    return [str(item) for item in value if item] if isinstance(value, list) else []
