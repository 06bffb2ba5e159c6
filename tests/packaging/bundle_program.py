#!/usr/bin/env python3
"""What cmake --install and packaging/make-bundle make of a build: that it starts where there is nothing else.

Usage: bundle_program.py BUILD_FOLDER
"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "packaging"))
from libraries import cached  # noqa: E402
from trial import Machine, node_problems, window_problem  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
VERSION = cached(BUILD, "CMAKE_PROJECT_VERSION")
WINDOW = cached(BUILD, "MOESCOPE_GUI") == "ON"
failures = []


def check(what, right, why=""):
    print(("ok    " if right else "FAILED ") + what + (f": {why}" if why and not right else ""), flush=True)
    if not right:
        failures.append(what)


def content(folder):
    """Names, kinds and bytes of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


def test_installed(root):
    prefix = root / "a prefix"
    subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    here = Machine(root / "of installed")
    problems = node_problems(here, prefix, VERSION)
    check("an installed node works", not problems, problems)
    shutil.copy(prefix / "share/moescope/presets/workshop.json", prefix / "share/moescope/presets/only-installed.json")
    done = here.run(prefix / "bin/moescope-node", "train", "--preset", "only-installed", "--data", "text.txt", "--steps", "1",
                    "--out", "other", "--json")
    check("it reads what is installed", done.returncode == 0, done.stderr)
    if WINDOW:
        for name in ("share/applications/moescope.desktop", "share/icons/hicolor/scalable/apps/moescope.svg",
                     "share/moescope/docs/manual-en.md", "share/moescope/fonts/Roboto-Regular.ttf"):
            check(f"installed: {name}", (prefix / name).is_file())
        problem = window_problem(here, prefix, "--headless")
        check("an installed window opens", not problem, problem)


def test_here(root, bundle):
    here = Machine(root / "work here")
    problems = node_problems(here, bundle, VERSION)
    check("no variable, a blank in the folder", not problems, problems)
    problems = node_problems(here, bundle, VERSION, MOESCOPE_OWN_LIBC="1")
    check("the bundle's own C library", not problems, problems)
    link = root / "link"
    link.symlink_to(bundle / "moescope-node")
    check("through two links", here.run(link, "--version").stdout.strip() == VERSION)
    elsewhere = here.run("./moescope-node", "--version", cwd=bundle)
    check("from its own folder", elsewhere.stdout.strip() == VERSION, elsewhere.stderr)
    running = subprocess.Popen([bundle / "bin/moescope-node", "serve", "--stdio", "--session", "S"], cwd=here.work, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=here.variables)
    running.stdout.read(1)  # its greeting
    name = pathlib.Path(f"/proc/{running.pid}/comm").read_text().strip()
    busy = here.run(bundle / "bin/moescope-node", "train", "--config", "small.json", "--data", "text.txt", "--out", "S").stderr
    running.stdin.close()
    running.stdout.close()
    running.wait(60)
    check("the system calls it by its name", name == "moescope-node", name)
    check("who holds a session is told by its name", "in use by" in busy and "(moescope-node)" in busy, busy)
    no_colon = root / "a:b"
    no_colon.mkdir()
    shutil.copytree(bundle / "bin", no_colon / "bin")
    done = here.run(no_colon / "bin/moescope-node", "--version")
    check("a colon in the folder is told", done.returncode == 127 and "move the folder" in done.stderr, done.stderr)
    alone = root / "alone"
    shutil.copy(bundle / "bin/moescope-node", alone)
    done = here.run(alone, "--version")
    check("a starter without its bundle says so", done.returncode == 127 and "is missing" in done.stderr, done.stderr)
    if WINDOW:
        problem = window_problem(here, bundle, "--headless")
        check("the window on the machine's C library", not problem, problem)
        problem = window_problem(here, bundle, "--headless", MOESCOPE_OWN_LIBC="1")
        check("the window on its own C library", not problem, problem)


def unquoted(value):
    """The program of an Exec line, as the specification of desktop entries reads it."""
    text = value.replace("\\\\", "\\")
    quoted = re.fullmatch(r'"((?:[^"`$\\%]|\\.|%%)*)" %f', text)
    return quoted and re.sub(r"\\(.)", r"\1", quoted[1]).replace("%%", "%")


def test_menu(root, bundle):
    folder = root / 'a "menu" $HOME `x` 100% \\ folder'
    for name in ("add-to-menu", "share/applications/moescope.desktop", "share/icons/hicolor/scalable/apps/moescope.svg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle / name, folder / name)
    here = {"HOME": str(root / "home"), "PATH": os.environ["PATH"]}
    done = subprocess.run([folder / "add-to-menu"], env=here, capture_output=True, text=True)
    entry = root / "home/.local/share/applications/moescope.desktop"
    check("an entry in the menu", done.returncode == 0 and entry.is_file(), done.stderr)
    lines = dict(line.split("=", 1) for line in entry.read_text().splitlines() if "=" in line)
    check("it starts this bundle", unquoted(lines["Exec"]) == f"{folder}/bin/moescope", lines["Exec"])
    check("with its picture", pathlib.Path(lines["Icon"].replace("\\\\", "\\")).is_file(), lines["Icon"])
    subprocess.run([folder / "add-to-menu", "--remove"], env=here, check=True, stdout=subprocess.DEVNULL)
    check("and is taken out", not entry.exists())


def test_gpu(root, bundle):
    """The part for GPUs is found where it is, here the one that tests have in its place."""
    here, node = Machine(root / "work on gpu", MOESCOPE_CUDA_DRIVER=str(BUILD / "test_gpu_driver.so")), bundle / "bin/moescope-node"
    without = here.run(node, "devices").stdout
    check("a bundle without the part for GPUs says so", "without its part for GPUs" in without, without)
    plugin = bundle / "lib/moescope/libmoescope-cuda.so"
    shutil.copy(BUILD / "test_gpu_plugin.so", plugin)
    with_it = here.run(node, "devices").stdout
    plugin.unlink()
    check("with it there is a GPU", "cuda:0" in with_it, with_it)


def test_copied(archive, bundle):
    """Over ssh to a machine that has nothing; by the archive, and by a bundle that packs itself."""
    done = subprocess.run([sys.executable, SOURCE / "tests/nodes/remote_program.py", bundle / "bin/moescope-node", archive])
    check("copied over ssh", done.returncode == 0)


def test_alone(root, bundle):
    """In a system that holds nothing but the bundle."""
    empty = root / "empty"
    empty.mkdir()
    possible = subprocess.run(["unshare", "-m", "mount", "--bind", "/proc", empty], capture_output=True).returncode == 0
    if os.geteuid() != 0 or not possible:
        print("skipped: a system with nothing else in it needs root, who may mount", flush=True)
        return
    folder = empty / "opt/m s"
    folder.parent.mkdir()
    bundle.rename(folder)
    machine = Machine(empty / "home", empty)
    check("it is empty", not any((empty / name).exists() for name in ("lib", "lib64", "usr", "etc", "bin")))
    problems = node_problems(machine, folder, VERSION)
    check("a node alone", not problems, problems)
    if WINDOW:
        problem = window_problem(machine, folder, "--headless")
        check("a window without a driver says what is missing", problem.startswith("exit 1:") and "libgl1-mesa-dri" in problem, problem)
        check("in one sentence", len(problem.splitlines()) <= 2, problem)
    folder.rename(bundle)


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="moescope-bundle-", dir="/tmp"))
    try:
        test_installed(root)
        archive = root / "moescope.tar.gz"
        subprocess.run([SOURCE / "packaging/make-bundle", BUILD, archive, "--no-gpu"], check=True)
        subprocess.run(["tar", "-xf", archive, "-C", root], check=True)
        bundle = root / "my bundle"
        (root / f"moescope-{VERSION}-x86_64").rename(bundle)
        before = content(bundle)
        test_copied(archive, bundle)
        test_gpu(root, bundle)
        test_here(root, bundle)
        if WINDOW:
            test_menu(root, bundle)
        test_alone(root, bundle)
        check("nothing was written into it", content(bundle) == before)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if failures else 0)


main()
