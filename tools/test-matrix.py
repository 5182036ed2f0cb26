#!/usr/bin/env python3
"""Runs the end-to-end tests with every Envoy that tools/setup.py can install, and records what came out.

    tools/test-matrix.py                  all versions
    tools/test-matrix.py 1.36.4 1.40.0    these; what is recorded of the others stays

Writes docs/envoy-versions.md, of which docs/support.md is made, and a log of each version in target/matrix/.
Environment: MESHWRIGHT_BIN and MESHWRIGHT_FILTERS_WASM as for the tests; `make test-matrix` builds both and sets them.
Exit codes: 0 every test passed with every version, 1 some did not, or a step failed (one line says which).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402

ROOT = setup.ROOT
RECORD = ROOT / "docs/envoy-versions.md"
LOGS = ROOT / "target/matrix"
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d+) \| (.*) \|$")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;", re.MULTILINE)
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)
TIMEOUT = 3600


def tested(version: str) -> tuple:
    """How many tests passed, and the names of those that did not."""
    os.environ.pop("ENVOY", None)
    os.environ["ENVOY_VERSION"] = version
    binary = setup.envoy()
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{version}.log"
    with open(log, "wb") as sink:
        done = subprocess.run(
            ["cargo", "test", "-p", "meshwright-e2e", "--no-fail-fast"],
            cwd=ROOT, env={**os.environ, "ENVOY": str(binary)}, stdout=sink, stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False,
        )
    text = log.read_text(errors="replace")
    passed = sum(int(found) for found, _ in RESULT.findall(text))
    failed = FAILED.findall(text)
    if passed == 0 or (done.returncode != 0 and not failed):
        raise setup.Failed(f"the tests did not run to their end with Envoy {version}: see {log}")
    return passed, failed


def write(rows: dict) -> None:
    text = RECORD.read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if not ROW.match(line.rstrip("\n")))
    ordered = sorted(rows.items(), key=lambda row: tuple(int(part) for part in row[0].split(".")))
    RECORD.write_text(head + "".join(f"| {version} | {passed} | {failed} |\n" for version, (passed, failed) in ordered))


def main() -> int:
    versions = sys.argv[1:] or list(setup.ENVOY_WHEELS)
    found = [ROW.match(line) for line in RECORD.read_text().splitlines()]
    rows = {row[1]: (row[2], row[3]) for row in found if row}
    good = True
    try:
        for version in versions:
            if version not in setup.ENVOY_WHEELS:
                raise setup.Failed(f"no wheel of Envoy {version} is pinned: {', '.join(setup.ENVOY_WHEELS)} are")
            passed, failed = tested(version)
            rows[version] = (passed, "none" if not failed else ", ".join(f"`{name}`" for name in failed))
            write(rows)
            good = good and not failed
            setup.step(f"Envoy {version}", f"{passed} passed, {len(failed)} failed")
        setup.run(["cargo", "test", "-q", "-p", "meshwright-config", "--test", "support"], "writing docs/support.md",
                  "see what it prints", cwd=ROOT, env={**os.environ, "UPDATE": "1"})
    except setup.Failed as error:
        print(f"test-matrix: error: {error}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
