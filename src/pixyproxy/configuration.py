"""The values that the container is configured with."""

from typing import Any

from pixyproxy.settings import Settings


def configuration_of(settings: Settings) -> dict[str, Any]:
    """Return the settings by name, with the values that follow from them."""
    values = settings.model_dump()
    values["secret_key"] = settings.secret_key.get_secret_value()
    values["secret_path"] = None if settings.repository == "memory" else settings.data_dir / "secret.key"
    values["rescue_dir"] = settings.data_dir / "rescue"
    values["rescue_dirs"] = (values["rescue_dir"],)
    values["spool_dir"] = None if settings.repository == "memory" else settings.data_dir / "spool"
    # Workers of a supervisor have a folder in which they count together.
    values["metrics_folder"], values["worker"] = None, 0
    values["anonymous"] = settings.anonymous
    values["answered_hosts"] = settings.answered_hosts
    return values
