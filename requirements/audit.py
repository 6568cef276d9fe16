"""Looks up the locked dependencies of the service in the advisories that pip-audit knows."""

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Print the result and return the exit status, which is 1 if a dependency has a known vulnerability."""
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        f"--requirement={FOLDER / 'runtime.txt'}",
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
        "--format=json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a constant
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1]
        print(f"NOT AUDITED: the advisories cannot be reached ({reason})")
        return 0
    audited = [each for each in dependencies if "skip_reason" not in each]
    skipped = len(dependencies) - len(audited)
    vulnerable = [each for each in audited if each["vulns"]]
    for each in vulnerable:
        for found in each["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "none yet"
            print(f"{each['name']} {each['version']}: {found['id']}, fixed in: {fixed}")
    print(f"{len(audited)} dependencies audited, {len(vulnerable)} of them with a known vulnerability")
    if skipped:
        print(f"NOT AUDITED: {skipped} dependencies, whose advisories cannot be reached")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
