"""Make the shared fixtures known to all tests."""

pytest_plugins = ("tests.fixtures.databases", "tests.fixtures.services")
