"""`pixyproxy serve`: run the service."""

from importlib.metadata import version
from typing import Annotated

import typer

from pixyproxy.containers import build_container
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.server import serve as serve_http
from pixyproxy.environment import load_settings
from pixyproxy.settings import Settings

_EXAMPLE = '{"prompt": "a rubber duck on a sink"}'
_MAY = {
    "none": "nothing: every request needs a login",
    "read": "see public images; a login is needed for everything else",
    "write": "see public images and create new ones; a login is needed for everything else",
}


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on, instead of PIXYPROXY_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port, instead of PIXYPROXY_PORT; 0 takes a free one.")
    ] = None,
) -> None:
    """Run the service until a signal to stop: Ctrl-C (SIGINT), SIGTERM, SIGHUP or SIGQUIT.

    The first one drains: generations in flight are finished and stored. A second one ends the service at once.
    """
    settings = load_settings(PIXYPROXY_HOST=host, PIXYPROXY_PORT=port)
    container = build_container(settings)

    def announce(address: str) -> None:
        logs.configure(settings.log_level)
        typer.echo(wiring(settings, address))

    def wait(reason: str) -> None:
        typer.echo(f"pixyproxy: waiting up to {settings.start_wait_s:g} s for the database: {reason}", err=True)

    # Until the service runs, an error is one line that names the setting, without log lines around it.
    logs.configure("CRITICAL")
    serve_http(settings, container, announce, wait)


def wiring(settings: Settings, address: str) -> str:
    """Return the block that says which adapters are used, who may do what, and where the service is."""
    openai = (
        f"{settings.openai_model} at {settings.openai_base_url}" if settings.openai_base_url else settings.openai_model
    )
    repositories = {
        "sqlite": str(settings.data_dir),
        "mysql": f"{settings.db_name} on {settings.db_host}:{settings.db_port}",
        "memory": "forgotten at exit",
    }
    blob_stores = {"filesystem": str(settings.images_dir), "memory": "forgotten at exit"}
    generators = {"sketch": "offline and free", "openai": openai}
    lines = [
        f"PixyProxy {version('pixyproxy')}",
        f"  repository  {_choice(settings.repository, repositories)}",
        f"  generator   {_choice(settings.generator, generators)}",
        f"  blob store  {_choice(settings.blob_store, blob_stores)}",
        f"  workers     {settings.workers}",
        f"  anonymous   may {_MAY[settings.anonymous]}",
        f"  address     {address} (the API is shown at {address}/docs)",
    ]
    if settings.anonymous == "write":
        lines += [
            "A first picture:",
            f"  curl {address}/image -H 'Content-Type: application/json' -d '{_EXAMPLE}'",
        ]
    return "\n".join(lines)


def _choice(name: str, built_in: dict[str, str]) -> str:
    return f"{name} ({built_in.get(name, 'an installed plug-in')})"
