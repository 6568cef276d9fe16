"""One suite of tests per port, to be inherited by the tests of each adapter."""
