#!/usr/bin/env python3
"""Builds the filters of tests/filters: Rust on the proxy-wasm SDK, C, AssemblyScript on its SDK. Idempotent.

    tools/test-filters.py [FOLDER]      into FOLDER, or target/test-filters

Prints one line per step on standard error; what is newer than its sources is not built again. The compilers come from tools/setup.py.
Exit codes: 0 done, 1 a step failed (one line says which).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "filters"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
WASM = "wasm32-wasip1"


class Failed(Exception):
    """A step that cannot go on. Its text is what the user sees."""


def step(name: str, outcome: str) -> None:
    print(f"test-filters: {name:<15} {outcome}", file=sys.stderr, flush=True)


def run(command: list, what: str, **kwargs) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise Failed(f"{what} failed: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")


def of_setup(fact: str) -> str:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "setup.py"), "--print", fact], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed((done.stderr.strip() or "tools/setup.py failed").splitlines()[-1])
    return done.stdout.strip()


def is_fresh(made: Path, sources: list) -> bool:
    return made.exists() and all(source.stat().st_mtime <= made.stat().st_mtime for source in sources)


def put(made: Path, place: Path) -> None:
    """By renaming: whoever reads meanwhile gets the old or the new one."""
    partial = place.with_suffix(".partial")
    shutil.copyfile(made, partial)
    partial.rename(place)


def rust(out: Path) -> None:
    """Cargo itself knows what is fresh, also when the SDK or the compiler is another one."""
    step("Rust", "examples of tests/filters")
    toolchain = of_setup("cargo-args").split()
    run(["cargo", *toolchain, "build", "--target", WASM, "--profile", "filter", "-p", "meshwright-test-filters", "--examples"], "cargo build", cwd=ROOT)
    for source in sorted((SOURCES / "examples").glob("*.rs")):
        made = TARGET / WASM / "filter" / "examples" / f"{source.stem}.wasm"
        if not is_fresh(out / made.name, [made]):
            put(made, out / made.name)


def c(out: Path) -> None:
    for source in sorted((SOURCES / "c").glob("*.c")):
        made = out / f"{source.stem}.wasm"
        if is_fresh(made, [source]):
            step("C", f"{made.name} is fresh")
            continue
        step("C", source.name)
        partial = made.with_suffix(".partial")
        # The first time, it also compiles its libc.
        environment = dict(os.environ, ZIG_GLOBAL_CACHE_DIR=str(ROOT / ".tools" / "zig" / "cache"), ZIG_LOCAL_CACHE_DIR=str(out / ".zig"))
        run([of_setup("zig"), "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o", partial, source],
            "zig cc", env=environment)
        partial.rename(made)


def assemblyscript(out: Path) -> None:
    folder = SOURCES / "assemblyscript"
    for source in sorted(folder.glob("*.ts")):
        made = out / f"{source.stem}.wasm"
        if is_fresh(made, [source, folder / "package-lock.json"]):
            step("AssemblyScript", f"{made.name} is fresh")
            continue
        step("AssemblyScript", source.name)
        work = out / ".assemblyscript"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work, ignore=shutil.ignore_patterns("node_modules"))
        node = Path(of_setup("node"))
        npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        run([node, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], "npm ci", cwd=work)
        asc = ["node_modules/assemblyscript/bin/asc", source.name, "-b", "made.wasm", "--use", "abort=abort_proc_exit", "--optimize"]
        run([node, *asc], "asc", cwd=work)
        put(work / "made.wasm", made)


def main() -> int:
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    out = Path(sys.argv[1]).resolve() if sys.argv[1:] else TARGET / "test-filters"
    out.mkdir(parents=True, exist_ok=True)
    try:
        rust(out)
        c(out)
        assemblyscript(out)
    except Failed as error:
        print(f"test-filters: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
