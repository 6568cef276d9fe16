"""Where in the store's folder the files of an image are: a path made from the GUID alone."""

from pathlib import Path

from pixyproxy.domain.errors import ImageNotFoundError
from pixyproxy.domain.image import parse_guid


class Layout:
    """`ab/cd/GUID.bin` and `ab/cd/GUID.json` below the root, named by the first four digits of the GUID."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aside = root / "aside"
        """Where bytes are kept that could not be stored in their place; no two-digit name can collide with it."""
        self.quarantine = root / "quarantine"
        """Where what is not in order is moved to: what lies there is neither served nor searched."""
        self.derived = root / "derived"
        """Where derivatives are kept, in folders like those of the images."""
        self._prefix = str(root)

    def image(self, guid: str) -> str:
        """The path of the bytes; a plain string because it is made for every read. Raises ValueError for no GUID."""
        return f"{self._prefix}/{self.location(guid)}"

    def location(self, guid: str) -> str:
        """The path of the bytes below the root. Raises ValueError for no GUID."""
        check_guid(guid)
        return f"{guid[:2]}/{guid[2:4]}/{guid}.bin"

    def sidecar(self, guid: str) -> str:
        """The path of the sidecar. Raises ValueError for no GUID."""
        check_guid(guid)
        return f"{self._prefix}/{guid[:2]}/{guid[2:4]}/{guid}.json"


def check_guid(guid: str) -> None:
    """Raise ValueError unless the text is a GUID in canonical form: what comes from outside never becomes a path."""
    try:
        canonical = parse_guid(guid)
    except ImageNotFoundError:
        canonical = ""
    if canonical != guid or not guid:
        raise ValueError("not a GUID in canonical form")
