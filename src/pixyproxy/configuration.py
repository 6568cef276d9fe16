"""The values that the container is configured with."""

from typing import Any
from urllib.parse import urlsplit

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
    values["picture_origin"] = _picture_origin(settings)
    return values


def _picture_origin(settings: Settings) -> str | None:
    """Return the origin on S3 to which clients are sent for pictures, None if they are not."""
    if settings.blob_store != "s3" or settings.s3_delivery != "redirect":
        return None
    if settings.s3_endpoint_url is None:
        return f"https://s3.{settings.s3_region}.amazonaws.com"
    address = urlsplit(str(settings.s3_endpoint_url))
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
