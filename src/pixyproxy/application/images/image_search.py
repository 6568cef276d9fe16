"""Searches for images: the pages of a list, and the images beside one in it."""

from collections.abc import Callable
from dataclasses import replace

from pixyproxy.application.commands import SearchImages, validate
from pixyproxy.application.images.cursors import Cursors, ImagePage
from pixyproxy.domain.access import Viewer
from pixyproxy.domain.image import Image, Status
from pixyproxy.domain.query import ImageQuery, Page
from pixyproxy.domain.search_terms import fold, query_terms
from pixyproxy.ports.image_repository import ImageRepository

_STEP = 50
"""Images of a page that are read at once: what a step holds beyond the end of the page was read in vain."""
_LEAST_IDS = 100
_MORE_IDS = 10
"""Ids above an image among which its neighbour is looked for first, and by how much more each time."""
_MOST_PAGES = 20
"""Pages that are read for a neighbour: few matches may be far away among many images, and each page costs something."""


class ImageSearch:
    """Searches for the images that match the filters of `SearchImages` and that a viewer may see, newest first.

    Filters that are not valid raise DataValidationError; all methods raise DBConnectionError while the database is
    away.
    """

    def __init__(self, images: ImageRepository, cursors: Cursors, max_page_bytes: int) -> None:
        self._images = images
        self._cursors = cursors
        self._max_page_bytes = max_page_bytes

    async def page(self, viewer: Viewer, data: object, size_of: Callable[[Image], int]) -> ImagePage:
        """Return a page of the list.

        `size_of` is called with each image and returns its bytes. A page ends before the image that would make it too
        large, but not before the first.
        """
        page = await self._fill_page(self._query(viewer, data), size_of)
        before_id = page.next_before_id
        return ImagePage(page.items, None if before_id is None else self._cursors.encode(before_id))

    async def beside(self, viewer: Viewer, data: object, image: Image) -> tuple[Image | None, Image | None]:
        """Return the next newer and the next older image of the list; its cursor does not matter.

        None at the ends of the list, and for a neighbour that is not among as many pages as are read at most.
        """
        query = replace(self._query(viewer, data), before_id=None)
        return await self._newer(query, image.id), await self._newest(replace(query, before_id=image.id))

    def _query(self, viewer: Viewer, data: object) -> ImageQuery:
        command = validate(SearchImages, data)
        return ImageQuery(
            viewer=viewer,
            limit=command.limit,
            before_id=None if command.cursor is None else self._cursors.decode(command.cursor),
            terms=() if command.prompt is None else query_terms(command.prompt),
            filename=None if command.filename is None else fold(command.filename),
            guid=command.guid,
            tags=tuple(command.tag or ()),
            author=command.author,
            model=command.model,
            visibility=command.visibility,
            status=Status(command.status),
            created_after=command.created_after,
            created_before=command.created_before,
            derived_from=command.derived_from,
        )

    async def _fill_page(self, query: ImageQuery, size_of: Callable[[Image], int]) -> Page:
        found: list[Image] = []
        left = self._max_page_bytes
        while True:
            step = min(_STEP, query.limit - len(found))
            page = await self._images.search(replace(query, limit=step))
            for image in page.items:
                left -= size_of(image)
                if left <= 0 and found:
                    return Page(tuple(found), found[-1].id)
                found.append(image)
            if len(page.items) < step or len(found) == query.limit or page.next_before_id is None:
                return Page(tuple(found), page.next_before_id)
            query = replace(query, before_id=page.next_before_id)

    async def _newest(self, query: ImageQuery) -> Image | None:
        """Return the first image of a list; a page may be empty and the list go on."""
        for _ in range(_MOST_PAGES):
            page = await self._images.search(replace(query, limit=1))
            if page.items or page.next_before_id is None:
                return next(iter(page.items), None)
            query = replace(query, before_id=page.next_before_id)
        return None

    async def _newer(self, query: ImageQuery, low: int) -> Image | None:
        """Return the match with the lowest id above `low`.

        Lists go down from the newest. So it is looked for among a few ids, and among more as long as there is none.
        """
        newest = await self._newest(replace(query, after_id=low))
        ids, growth = _LEAST_IDS, _MORE_IDS
        for _ in range(_MOST_PAGES):
            if newest is None or low >= newest.id:
                return newest
            page = await self._images.search(replace(query, after_id=low, before_id=low + ids + 1, limit=_LEAST_IDS))
            if page.next_before_id is not None and ids > _LEAST_IDS:
                # There are many: nearer ones are enough from here on.
                ids, growth = ids // _MORE_IDS, 1
            elif page.items:
                return page.items[-1]
            else:
                low += ids
                ids *= growth
        return None
