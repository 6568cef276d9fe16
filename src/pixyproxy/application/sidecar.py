"""The sidecar: a JSON document beside the bytes from which the record of an image can be made again."""

from typing import Any

from pixyproxy.domain.image import Image, ImageResult


def sidecar_of(image: Image, result: ImageResult) -> dict[str, Any]:
    """Everything that is known of an image when its bytes are stored, as JSON types; times in ISO 8601."""
    return {
        "version": 1,
        "guid": image.guid,
        "filename": result.filename,
        "prompt": image.prompt,
        "tags": list(image.tags),
        "author": image.author,
        "visibility": image.visibility.value,
        "created_at": image.created_at.isoformat(),
        "media_type": result.picture.media_type,
        "width": result.picture.width,
        "height": result.picture.height,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "generator": image.generator,
        "model": result.model,
        "parameters": dict(image.parameters),
        "revised_prompt": result.revised_prompt,
        "usage": None if result.usage is None else dict(result.usage),
    }
