"""The form that has pictures made, as a browser sends it: without files, or with pictures to edit."""

from dataclasses import dataclass

from starlette.requests import Request

from pixyproxy.application.generation.edit_sources import SourceReferences
from pixyproxy.entrypoints.http.api.requests import media_type_of
from pixyproxy.entrypoints.http.openai_api.edit_body import EditBodyReader
from pixyproxy.entrypoints.http.pages.forms import read_form, require_own_page, with_plain_breaks

_SOURCE_FIELDS = ("image[]", "edit_of")


@dataclass(frozen=True, slots=True)
class CreateForm:
    """A form: the text of each field, and the pictures to edit, whose files the use case closes."""

    fields: dict[str, str]
    sources: SourceReferences

    @property
    def stored(self) -> list[str]:
        """The GUIDs of the pictures that are stored here."""
        return [source for source in self.sources.images if isinstance(source, str)]

    @property
    def has_files(self) -> bool:
        """True if pictures were sent along."""
        return bool(self.sources.attachments) or len(self.stored) < len(self.sources.images)


async def read_create_form(request: Request, bodies: EditBodyReader, public_url: str | None) -> CreateForm:
    """Read the form in either of its encodings, the first value of each field.

    Raises:
        ForeignFormError: a page of another origin sent it.
        HTTPException, DataValidationError, CapacityExceededError, BlobStoreFullError: as for an edit.
    """
    if media_type_of(request) != "multipart/form-data":
        values = await read_form(request, public_url, of_any_user=True)
        guids = [guid for name in _SOURCE_FIELDS for guid in values.get(name, []) if guid]
        return CreateForm({name: texts[0] for name, texts in values.items()}, SourceReferences(guids))
    require_own_page(request, public_url)
    found, sources = await bodies.read(request)
    fields = {name: str(value[0] if isinstance(value, list) else value) for name, value in found.items()}
    return CreateForm({name: with_plain_breaks(text) for name, text in fields.items()}, sources)
