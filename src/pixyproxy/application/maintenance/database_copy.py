"""The use case that copies a database to another one, which takes its place at the end."""

from pixyproxy.domain.errors import StoreIdentityError
from pixyproxy.ports.maintenance_repository import BindingState, MaintenanceRepository, StoreIdentity
from pixyproxy.ports.row_copier import ComparedTable, OnProgress, RowCopier


class DatabaseCopy:
    """A copy in three steps: it begins in an empty database, copies, and is bound once all rows are the same.

    Until then the target says that it is being copied to, so that no service runs on it, and so that a copy that was
    cut short is known.
    """

    def __init__(self, source: MaintenanceRepository, target: MaintenanceRepository, rows: RowCopier) -> None:
        self._source = source
        self._target = target
        self._rows = rows

    async def begin(self) -> bool:
        """Mark the target; return True if a copy of the same source was begun before.

        Raises:
            StoreIdentityError: the source was never used, or the target holds other data.
        """
        source, target = await self._source.identity(), await self._target.identity()
        if source is None or source.state is not BindingState.BOUND:
            raise StoreIdentityError(
                "The database to copy from is not bound to a blob store: choose the one that the service uses."
            )
        copying = StoreIdentity(source.value, BindingState.COPYING)
        if target == copying:
            return True
        is_new = target is None or target.state is BindingState.BEGUN
        if target is not None and target.value == source.value and not is_new:
            raise StoreIdentityError(
                "The database to copy to is a complete copy already, which a service may have used since: to copy "
                "again, choose an empty one."
            )
        if not is_new or not await self._rows.is_empty():
            raise StoreIdentityError("The database to copy to holds other data: choose an empty one.")
        await self._target.save_identity(copying)
        return False

    async def copy(self, on_progress: OnProgress) -> None:
        """Copy what the target does not have; raises as `RowCopier.copy` does."""
        await self._rows.copy(on_progress)

    async def finish(self, on_progress: OnProgress) -> tuple[ComparedTable, ...]:
        """Compare all rows, and let the target take the place of the source if they are the same."""
        tables = await self._rows.compare(on_progress)
        source = await self._source.identity()
        if source is not None and not any(table.different for table in tables):
            await self._target.save_identity(source)
        return tables
