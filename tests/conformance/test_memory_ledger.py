"""The in-memory ledger keeps the contract."""

from dataclasses import replace

import pytest

from pixyproxy.adapters.memory.image_repository import MemoryImageRepository
from pixyproxy.adapters.memory.ledger import MemoryLedger
from pixyproxy.adapters.memory.maintenance_repository import MemoryMaintenanceRepository
from pixyproxy.adapters.memory.storage import MemoryStorage
from pixyproxy.adapters.memory.user_repository import MemoryUserRepository
from pixyproxy.domain.money.charges import ChargeState, charged_image
from tests.conformance.contracts.ledger import LedgerStorage
from tests.conformance.contracts.ledger_usage import LedgerUsageContract


class MemoryLedgerStorage(LedgerStorage):
    def __init__(self) -> None:
        self._storage = MemoryStorage()

    def ledger(self) -> MemoryLedger:
        return MemoryLedger(self._storage)

    def images(self) -> MemoryImageRepository:
        return MemoryImageRepository(self._storage)

    def users(self) -> MemoryUserRepository:
        return MemoryUserRepository(self._storage)

    def maintenance(self) -> MemoryMaintenanceRepository:
        return MemoryMaintenanceRepository(self._storage)

    def delete_images_by_hand(self) -> None:
        self._storage.images.clear()

    def forget_ends(self) -> None:
        charges, images = self._storage.charges, self._storage.images
        for guid, charge in charges.items():
            charges[guid] = replace(charge, state=ChargeState.RESERVED, cost=None)
            images[guid] = charged_image(images[guid], charges[guid])


class TestMemoryLedger(LedgerUsageContract):
    adapter = MemoryLedger

    @pytest.fixture
    def storage(self) -> MemoryLedgerStorage:
        return MemoryLedgerStorage()
