"""`pixyproxy generate`: one image without a server."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pixyproxy.containers import build_container, opened
from pixyproxy.settings import load_settings


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the bytes to this file too.")] = None,
    model: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    size: Annotated[str | None, typer.Option(help="Passed on to the generator, such as 1024x1024.")] = None,
    quality: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    background: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    output_format: Annotated[str | None, typer.Option(help="Passed on to the generator, such as png.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
) -> None:
    """Have one picture made, stored and recorded, as the service would do it for an anonymous caller."""
    request: dict[str, object] = {
        "prompt": prompt,
        "model": model,
        "size": size,
        "quality": quality,
        "background": background,
        "output_format": output_format,
        "tags": tag or None,
    }
    if output is not None and not output.absolute().parent.is_dir():
        # Better said before the picture is paid for than after.
        raise typer.BadParameter(f"there is no folder {str(output.absolute().parent)!r}", param_hint="--output")
    asyncio.run(_generate(request, output))


async def _generate(request: dict[str, object], output: Path | None) -> None:
    from pixyproxy.entrypoints.cli import progress as shown

    container = build_container(load_settings())
    async with opened(container):
        images = container.image_service()
        with shown.of_steps() as progress:
            progress.add_task(f"{container.generator().name} is drawing", total=None)
            image = (await images.create(None, request)).image
        content = images.content_of(image)
        picture, size = content.result.picture, content.result.size_bytes
        typer.echo(f"{image.guid}  {image.request.filename}  {picture.width}x{picture.height}  {size} bytes")
        if output is not None:
            data = await content.read_whole()
            try:
                await asyncio.to_thread(output.write_bytes, data)
            except OSError as error:
                typer.echo(f"cannot write {output}: {error.strerror}; the image is stored as {image.guid}", err=True)
                raise typer.Exit(1) from error
            typer.echo(f"written to {output}")
