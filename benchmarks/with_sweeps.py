"""`pixyproxy serve` that sweeps without a pause: steps follow each other, and so do rounds."""

from pixyproxy.application.maintenance.sweeping import periodic_sweep
from pixyproxy.entrypoints.cli.serve import serve

if __name__ == "__main__":
    periodic_sweep.PAUSE_S = periodic_sweep.ROUND_PAUSE_S = 0.001
    serve()
