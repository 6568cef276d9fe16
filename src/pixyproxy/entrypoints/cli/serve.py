"""`pixyproxy serve`: run the service."""

import ipaddress
import logging
import sys
from importlib.metadata import version
from typing import Annotated
from urllib.parse import urlsplit

import typer

from pixyproxy.containers import build_container
from pixyproxy.entrypoints import logs
from pixyproxy.entrypoints.http.server import serve as serve_http
from pixyproxy.environment import load_settings
from pixyproxy.settings import Settings
from pixyproxy.trusted_hosts import TrustedHosts, parse_host

logger = logging.getLogger(__name__)

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

    def announce(address: str, has_admin: bool) -> None:
        logs.configure(settings.log_level, settings.log_format)
        _print(wiring(settings, address))
        if not has_admin and settings.repository != "memory":
            _print("There is no administrator yet. Add one with: pixyproxy user add NAME --role admin")
        if settings.accel_prefix is not None and settings.files_group is None:
            logger.warning(
                "PIXYPROXY_ACCEL_PREFIX is set and PIXYPROXY_FILES_GROUP is not: nginx can send the pictures only if "
                "its user is in the group of the service's user, to which files belong then"
            )

        if not _is_this_machine(settings.host) and not (settings.public_url or "").startswith("https://"):
            logger.warning(
                "PIXYPROXY_HOST lets other machines connect: on http anybody on the way reads passwords and "
                "the cookies of sessions; put TLS in front and set PIXYPROXY_PUBLIC_URL to its https:// address"
            )

    def wait(reason: str) -> None:
        typer.echo(f"pixyproxy: waiting up to {settings.start_wait_s:g} s for the database: {reason}", err=True)

    # Until the service runs, an error is one line that names the setting, without log lines around it.
    logs.configure("CRITICAL")
    serve_http(settings, container, announce, wait)


def _print(text: str) -> None:
    """Print a text; the service runs also where nobody takes it, as on a full disk or behind `| head`."""
    try:
        typer.echo(text)
    except OSError as error:
        logger.warning("standard output takes nothing: %s", error.strerror)
        sys.stdout = None  # else what is left in it is an error at the end


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
    blob_stores = {
        "filesystem": str(settings.images_dir),
        "s3": f"{settings.s3_bucket}{f'/{settings.s3_prefix}' if settings.s3_prefix else ''} at "
        f"{settings.s3_endpoint_url or f'Amazon S3 in {settings.s3_region}'}, {settings.s3_delivery}",
        "memory": "forgotten at exit",
    }
    generators = {"sketch": "offline and free", "openai": openai}
    is_answered = (parse_host(urlsplit(address).netloc) or "") in TrustedHosts(settings.answered_hosts)
    shown = address if is_answered else settings.public_url
    lines = [
        f"PixyProxy {version('pixyproxy')}",
        f"  repository  {_choice(settings.repository, repositories)}",
        f"  generator   {_choice(settings.generator, generators)}",
        f"  blob store  {_choice(settings.blob_store, blob_stores)}",
        f"  workers     {settings.workers}",
        f"  anonymous   may {_MAY[settings.anonymous]}",
        f"  address     {address}" + ("" if shown is None else f" (the API is shown at {shown}/docs)"),
    ]
    lines.insert(-1, f"  pace        {_pace(settings)}")
    if settings.trusted_hosts:
        lines.insert(-1, f"  hosts       {', '.join(settings.answered_hosts)}")
    if settings.anonymous == "write" and shown is not None:
        lines += [
            "A first picture:",
            f"  curl {shown}/image -H 'Content-Type: application/json' -d '{_EXAMPLE}'",
        ]
    return "\n".join(lines)


def _pace(settings: Settings) -> str:
    """Return how many calls there may be, and how many pictures may wait."""
    parts = [f"{settings.max_generations} calls at once"]
    if settings.per_user is not None:
        parts.append(f"{settings.per_user} of one caller")
    if settings.images_per_minute is not None:
        parts.append(f"{settings.images_per_minute} pictures a minute of each model")
    return f"{', '.join(parts)}; {settings.queue_length} pictures may wait, {settings.queue_timeout_s:g} s at most"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _choice(name: str, built_in: dict[str, str]) -> str:
    return f"{name} ({built_in.get(name, 'an installed plug-in')})"
