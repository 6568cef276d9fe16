"""Hidden images: the conditions under which members of the staff see them."""

from collections.abc import Mapping

from pixyproxy.domain.access import Staff, Viewer

# A subquery with LIMIT: a server can only look up the author of each image. MySQL's binary collation ignores trailing
# spaces in comparisons; the lengths distinguish them. Roles that are not known, written by hand, are students.
_OF_CLASS = """(SELECT 1 FROM roster WHERE roster.`user` = images.author
    AND LENGTH(roster.`user`) = LENGTH(images.author) AND roster.class_key = :{0}
    AND LENGTH(roster.class_key) = LENGTH(:{0}) AND roster.role NOT IN ('teacher', 'admin') LIMIT 1) = 1"""


def seen_by(staff: Staff, parameter: str) -> tuple[str, ...]:
    """Return the conditions on the row of a hidden image; `parameter` is the name for the class of the staff.

    Teachers see those whose author the roster calls a student of their class.
    """
    return () if staff.is_admin else (_OF_CLASS.format(parameter),)


def staff_parameters(viewer: Viewer, parameter: str) -> Mapping[str, str | None]:
    """Return the parameters of `seen_by`, none for viewers who are no staff."""
    return {parameter: viewer.class_key} if isinstance(viewer, Staff) else {}
