"""Conformance suite of the port ProcessMonitor."""

import subprocess
import sys
from typing import ClassVar

import pytest

from pixyproxy.ports.process_monitor import ProcessMonitor


class ProcessMonitorContract:
    """Tests of each sentence of the port; `process_name` is a program that prints its name and waits for input."""

    adapter: ClassVar[type[ProcessMonitor]]
    process_name: ClassVar[str]

    @pytest.fixture
    def monitor(self) -> ProcessMonitor:
        raise NotImplementedError("an adapter's suite supplies this fixture")

    def test_subclasses_its_port(self, monitor: ProcessMonitor) -> None:
        assert type(monitor) is self.adapter
        assert ProcessMonitor in self.adapter.__mro__

    def test_a_name_is_never_used_twice(self, monitor: ProcessMonitor) -> None:
        assert monitor.own_name == monitor.own_name
        assert self.adapter().own_name != monitor.own_name

    def test_this_process_is_alive(self, monitor: ProcessMonitor) -> None:
        assert monitor.is_alive(monitor.own_name) is True

    def test_another_process_is_dead_once_it_ended_even_if_nobody_waited_for_it(self, monitor: ProcessMonitor) -> None:
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", self.process_name], stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            assert name != monitor.own_name
            assert monitor.is_alive(name) is True
            process.kill()
            assert process.stdout.read() == ""  # it has ended
            while monitor.is_alive(name):
                pass
        assert monitor.is_alive(name) is False

    @pytest.mark.parametrize("name", ["", "x", "web1-1", "web1-1-0123abcd", "\0", "é-1-1-1-00000000"])
    def test_other_text_names_no_process(self, monitor: ProcessMonitor, name: str) -> None:
        assert monitor.is_alive(name) is None
