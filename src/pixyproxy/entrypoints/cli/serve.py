"""`pixyproxy serve`: run the service."""

from importlib.metadata import version

import typer

from pixyproxy.containers import build_container
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.server import serve as serve_http
from pixyproxy.settings import Settings, load_settings

_EXAMPLE = '{"prompt": "a rubber duck on a sink"}'
_MAY = {
    "none": "nothing: every request needs a login",
    "read": "see public images; a login is needed for everything else",
    "write": "see public images and create new ones; a login is needed for everything else",
}


def serve() -> None:
    """Run the service until it is told to stop (Ctrl-C or SIGTERM)."""
    settings = load_settings()
    container = build_container(settings)

    def announce(address: str) -> None:
        logs.configure(settings.log_level)
        typer.echo(wiring(settings, address))

    # Until it runs, what is wrong is one line that names the setting, and nothing around it.
    logs.configure("CRITICAL")
    serve_http(settings, container, announce)


def wiring(settings: Settings, address: str) -> str:
    """The block that says what is wired, who may do what, and where to go."""
    database = (
        f"{settings.db_name} on {settings.db_host}:{settings.db_port}"
        if settings.repository == "mysql"
        else str(settings.data_dir)
    )
    upstream = settings.openai_model if settings.generator == "openai" else "offline and free"
    if settings.generator == "openai" and settings.openai_base_url:
        upstream += f" at {settings.openai_base_url}"
    lines = [
        f"PixyProxy {version('pixyproxy')}",
        f"  repository  {settings.repository} ({database})",
        f"  generator   {settings.generator} ({upstream})",
        f"  blob store  {settings.blob_store} ({settings.images_dir})",
        f"  anonymous   may {_MAY[settings.anonymous]}",
        f"  address     {address} (the API is shown at {address}/docs)",
    ]
    if settings.anonymous == "write":
        lines += [
            "A first picture:",
            f"  curl {address}/image -H 'Content-Type: application/json' -d '{_EXAMPLE}'",
        ]
    return "\n".join(lines)
