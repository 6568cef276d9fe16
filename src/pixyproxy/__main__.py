"""`python -m pixyproxy` is the command `pixyproxy`."""

from pixyproxy.entrypoints.cli.main import run

if __name__ == "__main__":
    run()
