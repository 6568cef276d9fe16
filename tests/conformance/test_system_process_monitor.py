"""SystemProcessMonitor: the port's contract, and its names."""

from pathlib import Path

import pytest

from pixyproxy.adapters.system.process_monitor import SystemProcessMonitor
from tests.conformance.contracts.process_monitor import ProcessMonitorContract


class TestSystemProcessMonitor(ProcessMonitorContract):
    adapter = SystemProcessMonitor
    process_name = (
        "from pixyproxy.adapters.system.process_monitor import SystemProcessMonitor\n"
        "print(SystemProcessMonitor().own_name, flush=True)\n"
        "input()"
    )

    @pytest.fixture
    def monitor(self) -> SystemProcessMonitor:
        return SystemProcessMonitor()

    def test_a_later_process_with_the_same_pid_is_another(self, monitor: SystemProcessMonitor) -> None:
        host, pid, birth, namespace, token = monitor.own_name.rsplit("-", 4)
        assert monitor.is_alive("-".join([host, pid, f"{int(birth, 16) - 1:x}", namespace, token])) is False

    def test_a_process_of_another_host_or_container_is_not_known(self, monitor: SystemProcessMonitor) -> None:
        host, _, _, namespace, token = monitor.own_name.rsplit("-", 4)
        dead = "999999999"
        assert monitor.is_alive("-".join([host, dead, "1", namespace, token])) is False
        assert monitor.is_alive("-".join(["x" + host, dead, "1", namespace, token])) is None
        assert monitor.is_alive("-".join([host, dead, "1", f"{int(namespace, 16) + 1:x}", token])) is None

    def test_without_proc_a_signal_tells(self, tmp_path: Path) -> None:
        monitor = SystemProcessMonitor(tmp_path)
        assert monitor.is_alive(monitor.own_name) is True
        host, _, *rest = monitor.own_name.rsplit("-", 4)
        assert monitor.is_alive("-".join([host, "999999999", *rest])) is False
        assert monitor.is_alive("-".join([host, "1", *rest])) is True
        assert monitor.is_alive("-".join([host, "9" * 30, *rest])) is None
