"""A comparison of the accounts that a command changes with those of the service that is running."""

import base64
from http.client import HTTPConnection, HTTPException

import typer

from pixyproxy.entrypoints.logs import escaped
from pixyproxy.settings import Settings
from pixyproxy.trusted_hosts import TrustedHosts

_TIMEOUT_S = 10.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
_CHALLENGE = 'Basic realm="pixyproxy"'


def is_running(settings: Settings) -> bool:
    """Return whether a service of ours answers at the configured address."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    trusted = TrustedHosts(settings.answered_hosts).example()
    try:
        return _status(host, settings.port, {} if trusted is None else {"Host": trusted}) == (401, True)
    except (OSError, HTTPException):
        return False


def warn_of_other_accounts(settings: Settings, name: str, password: str) -> None:
    """Say so on standard error if a service that runs at the configured address does not know this user.

    It keeps its users elsewhere then: a command that was run in another folder, or without the service's settings,
    has changed another database.
    """
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    trusted = TrustedHosts(settings.answered_hosts).example()
    fields = {} if trusted is None else {"Host": trusted}
    try:
        # First without the password, because any other program may listen there.
        is_ours = _status(host, settings.port, fields) == (401, True)
        credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
        fields["Authorization"] = f"Basic {credentials}"
        refused = is_ours and _status(host, settings.port, fields) == (401, True)
    except (OSError, HTTPException):
        return
    if refused:
        places = {
            "sqlite": f"the folder {settings.data_dir.absolute()} (PIXYPROXY_DATA_DIR)",
            "mysql": f"the database {settings.db_name} on {settings.db_host} (DB_NAME, DB_HOST)",
        }
        typer.echo(
            f"pixyproxy: the service that is running at {host} port {settings.port} does not know {escaped(name)}: "
            f"it keeps its users elsewhere than in {places.get(settings.repository, settings.repository)}, which this "
            "command changed. Run the command with the settings of the service, in its folder.",
            err=True,
        )


def _status(host: str, port: int, headers: dict[str, str]) -> tuple[int, bool]:
    """Return the status of a request for the caller's own account, and true if it is a service of ours."""
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/user/me", headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("WWW-Authenticate", "").startswith(_CHALLENGE)
    finally:
        connection.close()
