"""A database as the first version of the tables left it, with rows, and what is to be found of them later."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pixyproxy.adapters.sql.migrations import load_scripts, split_statements
from pixyproxy.domain.image import Image, Status, Visibility
from pixyproxy.domain.query import ImageQuery
from pixyproxy.ports.image_repository import ImageRepository

READY, FAILED = "0b9f1c2d-0000-4000-8000-000000000001", "0b9f1c2d-0000-4000-8000-000000000002"
_AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
_ROWS = (
    f"""INSERT INTO images (id, guid, filename, filename_folded, prompt, tags, author, visibility, status, created_at,
        updated_at, generator, model, parameters, media_type, width, height, size_bytes, sha256, revised_prompt,
        `usage`, idempotency_caller, idempotency_key, request_fingerprint)
    VALUES (7, '{READY}', 'Ente.png', 'ente.png', 'a rubber duck 🦆', '["duck","bath"]', 'alice', 'public', 'ready',
        '2026-11-21 10:00:00.123456', '2026-11-21 10:00:09.123456', 'openai', 'gpt-image-2', '{{"size":"1024x1024"}}',
        'image/png', 1024, 768, 1482211, '{"ab" * 32}', 'a nice duck', '{{"total_tokens":7}}',
        'alice', 'key', '{"a" * 64}')""",
    f"""INSERT INTO images (id, guid, filename, filename_folded, prompt, tags, visibility, status, created_at,
        updated_at, generator, parameters, error_code, error_message)
    VALUES (9, '{FAILED}', 'x.png', 'x.png', 'x', '[]', 'public', 'failed',
        '2026-11-21 10:00:00.123456', '2026-11-21 10:00:00.123456', 'sketch', '{{}}', 'prompt-rejected', 'No.')""",
    "INSERT INTO image_tags (image_id, position, tag) VALUES (7, 0, 'duck'), (7, 1, 'bath')",
    "INSERT INTO image_terms (term, image_id) VALUES ('a', 7), ('duck', 7), ('rubber', 7), ('x', 9)",
    "INSERT INTO roster (`user`, `password`) VALUES ('alice', 'a hash')",
)


def statements(package: str) -> Iterator[str]:
    """What the first version of an adapter's tables, and the use of them, did to an empty database."""
    script = load_scripts(package)[0]
    yield from split_statements(script.sql)
    values = f"({script.version}, '{script.name}', '{script.checksum}')"
    yield f"INSERT INTO schema_migrations (version, name, checksum) VALUES {values}"
    yield from _ROWS


async def check(repository: ImageRepository) -> None:
    """Assert that everything is found as it was, and that the ids go on."""
    image = Image(
        id=7,
        guid=READY,
        filename="Ente.png",
        prompt="a rubber duck 🦆",
        tags=("duck", "bath"),
        author="alice",
        visibility=Visibility.PUBLIC,
        status=Status.READY,
        created_at=_AT,
        updated_at=_AT + timedelta(seconds=9),
        generator="openai",
        model="gpt-image-2",
        parameters={"size": "1024x1024"},
        media_type="image/png",
        width=1024,
        height=768,
        size_bytes=1_482_211,
        sha256="ab" * 32,
        revised_prompt="a nice duck",
        usage={"total_tokens": 7},
    )
    assert (image.derived_from, image.batch, image.reported) == ((), None, None)
    assert await repository.get(READY) == image
    assert (await repository.get(FAILED)).status is Status.FAILED
    for query in (ImageQuery(), ImageQuery(terms=("rub",)), ImageQuery(tags=("bath",)), ImageQuery(filename="ente")):
        assert (await repository.search(query)).items == (image,)
    assert await repository.find_claimed("alice", "key") == (image, "a" * 64)
    assert await repository.find_recent("alice", "a" * 64, _AT) == image
