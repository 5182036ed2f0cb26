#!/usr/bin/env python3
"""Runs the end-to-end tests with every Envoy that tools/setup.py can install, and records what came out.

    tools/test-matrix.py                                all versions
    tools/test-matrix.py 1.36.4 1.40.0                  these; what is recorded of the others stays
    tools/test-matrix.py 1.36.4 --only custom,jwks      some test files, to look at; nothing is recorded

Which tests: those of tests/e2e, and those of control-plane/xds that run a real Envoy. They are compiled once, with the same features as
`make test` has, so that nothing is compiled twice; each file is run on its own, and again alone if something in it failed: what passes then
was short of time on this machine, and is told.
Writes docs/envoy-versions.md, of which docs/support.md is made, and a log of each version and file in target/matrix/.
Environment: MESHWRIGHT_BIN and MESHWRIGHT_FILTERS_WASM as for the tests; `make test-matrix` builds both and sets them. TEST_RUNNER: a
command that each file is run under (`nice`, say).
Exit codes: 0 every test passed with every version, 1 some did not, or a step failed (one line says which).
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402

ROOT = setup.ROOT
RECORD = ROOT / "docs/envoy-versions.md"
LOGS = ROOT / "target/matrix"
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d+) \| (.*) \|$")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;", re.MULTILINE)
FAILED = re.compile(r"^    (\S+)$", re.MULTILINE)
E2E = ROOT / "tests/e2e/tests"
# Beside those of tests/e2e: the rows of docs/xds.md that are Envoy's own behaviour.
MORE = {"envoy": ROOT / "control-plane/xds"}
TIMEOUT = 1200


def names() -> list:
    return sorted(file.stem for file in E2E.glob("*.rs")) + sorted(MORE)


def compiled(wanted: list) -> dict:
    """Name of each test file → its program and the folder that cargo would run it in."""
    setup.step("tests", "compiling")
    tests = [argument for name in wanted for argument in ("--test", name)]
    command = ["cargo", "test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics", *tests]
    done = subprocess.run([*runner(), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise setup.Failed("the tests do not compile: see above")
    found = {}
    for line in done.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            name, folder = message["target"]["name"], Path(message["manifest_path"]).parent
            # Other packages have test files of the same names.
            if name in wanted and folder == MORE.get(name, E2E.parent):
                found[name] = (message["executable"], folder)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise setup.Failed(f"cargo did not say where the tests of {', '.join(missing)} are")
    return found


def runner() -> list:
    return shlex.split(os.environ.get("TEST_RUNNER", ""))


def run(program: tuple, environment: dict, log: Path, *arguments: str) -> tuple:
    """How many tests of a file passed, and which did not."""
    binary, folder = program
    with open(log, "wb") as sink:
        try:
            subprocess.run([*runner(), binary, *arguments], cwd=folder, env=environment, stdout=sink, stderr=subprocess.STDOUT,
                           timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise setup.Failed(f"{log.stem} did not end in {TIMEOUT} s: see {log}") from None
    text = log.read_text(errors="replace")
    result = RESULT.search(text)
    if result is None:
        raise setup.Failed(f"the tests of {log.stem} did not run to their end: see {log}")
    failed = FAILED.findall(text.rpartition("\nfailures:\n")[2]) if int(result[2]) else []
    return int(result[1]), failed


def tested(version: str, programs: dict) -> tuple:
    """How many tests passed, and the names of those that did not."""
    os.environ.pop("ENVOY", None)
    os.environ["ENVOY_VERSION"] = version
    environment = {**os.environ, "ENVOY": str(setup.envoy()), "CARGO_MANIFEST_DIR": ""}
    logs = LOGS / version
    logs.mkdir(parents=True, exist_ok=True)
    passed, failed = 0, []
    for name, program in sorted(programs.items()):
        environment["CARGO_MANIFEST_DIR"] = str(program[1])
        begun = time.monotonic()
        good, bad = run(program, environment, logs / f"{name}.log")
        shown = f"{good} passed in {time.monotonic() - begun:.0f} s"
        for test in bad:
            again, still = run(program, environment, logs / f"{name}.{test.replace('::', '.')}.log", "--exact", test)
            good += again
            failed += [f"{name}::{test}" for _ in still]
            shown += f"; {test} FAILED" if still else f"; {test} failed, and passed alone"
        passed += good
        setup.step(f"{version} {name}", shown)
    return passed, failed


def write(rows: dict) -> None:
    text = RECORD.read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if not ROW.match(line.rstrip("\n")))
    ordered = sorted(rows.items(), key=lambda row: tuple(int(part) for part in row[0].split(".")))
    RECORD.write_text(head + "".join(f"| {version} | {passed} | {failed} |\n" for version, (passed, failed) in ordered))


def record(version: str, passed: int, failed: list) -> None:
    found = [ROW.match(line) for line in RECORD.read_text().splitlines()]
    rows = {row[1]: (row[2], row[3]) for row in found if row}
    rows[version] = (passed, "none" if not failed else ", ".join(f"`{name}`" for name in failed))
    write(rows)


def matrix(versions: list, only: list) -> bool:
    for version in versions:
        if version not in setup.ENVOY_WHEELS:
            raise setup.Failed(f"no wheel of Envoy {version} is pinned: {', '.join(setup.ENVOY_WHEELS)} are")
    unknown = [name for name in only if name not in names()]
    if unknown:
        raise setup.Failed(f"there is no test file {', '.join(unknown)}: {', '.join(names())} are there")
    programs = compiled(only or names())
    good = True
    for version in versions:
        begun = time.monotonic()
        passed, failed = tested(version, programs)
        good = good and not failed
        setup.step(f"Envoy {version}", f"{passed} passed, {len(failed)} failed in {time.monotonic() - begun:.0f} s")
        if not only:
            record(version, passed, failed)
    if not only:
        setup.run(["cargo", "test", "-q", "--workspace", "--test", "support"], "writing docs/support.md", "see what it prints",
                  cwd=ROOT, env={**os.environ, "UPDATE": "1"})
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", help="all that are pinned, if none is named")
    parser.add_argument("--only", default="", help="test files, with commas between them")
    asked = parser.parse_args()
    try:
        good = matrix(asked.versions or list(setup.ENVOY_WHEELS), [name for name in asked.only.split(",") if name])
    except setup.Failed as error:
        print(f"test-matrix: error: {error}", file=sys.stderr)
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
