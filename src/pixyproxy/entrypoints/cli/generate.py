"""`pixyproxy generate`: generate one image without a server."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pixyproxy.application.generation.callers import Caller
from pixyproxy.containers import Container
from pixyproxy.domain.image import Image, new_guid
from pixyproxy.entrypoints.cli.runner import run_with_container
from pixyproxy.opening import bind_store


def generate(
    prompt: Annotated[str, typer.Argument(help="The description of the picture.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the bytes to this file.")] = None,
    model: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    size: Annotated[str | None, typer.Option(help="Passed on to the generator, such as 1024x1024.")] = None,
    quality: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    background: Annotated[str | None, typer.Option(help="Passed on to the generator.")] = None,
    output_format: Annotated[str | None, typer.Option(help="Passed on to the generator, such as png.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
) -> None:
    """Generate, store and record one picture, as the service does for an anonymous caller."""
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
        # Checked before the picture is paid for.
        raise typer.BadParameter(f"there is no folder {str(output.absolute().parent)!r}", param_hint="--output")
    try:
        if output is not None and output.is_dir():
            raise typer.BadParameter(f"{str(output)!r} is a folder: name a file in it", param_hint="--output")
    except OSError as error:
        raise typer.BadParameter(f"cannot be written: {error.strerror}", param_hint="--output") from None
    run_with_container(lambda container: _generate(container, request, output))


async def _generate(container: Container, request: dict[str, object], output: Path | None) -> None:
    from pixyproxy.entrypoints.cli.progress import spinner

    await bind_store(container)
    caller, departures = Caller(), container.departures()
    try:
        with spinner() as progress:
            progress.add_task(f"{container.generator().name} is drawing", total=None)
            # A person who runs the command again wants another picture, whatever became of the last.
            created = container.image_service().create(None, request, idempotency_key=new_guid(), caller=caller)
            image = (await created).image
        departures.answered(caller)
    finally:
        await departures.close()
    await _deliver(container, image, output)


async def _deliver(container: Container, image: Image, output: Path | None) -> None:
    content = container.image_service().content_of(image)
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
