"""Make the shared fixtures known to all tests."""

pytest_plugins = ("tests.fixtures.sql.databases", "tests.fixtures.services")
