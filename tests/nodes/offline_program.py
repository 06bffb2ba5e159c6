#!/usr/bin/env python3
"""Moescope says nothing to anybody: a local tour needs no network, and asks the system for none.

Usage: offline_program.py MOESCOPE_NODE [MOESCOPE]

1. Training, an answer and the window work in a network namespace in which not even loopback is up.
2. A trace of their system calls shows no socket but those of the machine itself (UNIX, netlink).
3. The same trace of a command that does go to the network shows that it would be seen.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

NODE = os.path.abspath(sys.argv[1])
WINDOW = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
failures = []

SMALL = {"name": "small",
         "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "head_width": 16, "experts": 4,
                   "experts_per_token": 2, "expert_width": 16, "context": 32, "vocabulary": 320},
         "train": {"steps": 5, "batch": 2, "checkpoint_every": 5}}


def check(what, right):
    print(("ok    " if right else "FAILED ") + what, flush=True)
    if not right:
        failures.append(what)


def run(command, root, **more):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment.update(HOME=str(root), XDG_DATA_HOME=str(root / "data"), XDG_CONFIG_HOME=str(root / "config"),
                       XDG_RUNTIME_DIR=str(root / "run"), LIBGL_ALWAYS_SOFTWARE="1")
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=200, **more)


def tour(prefix, root, name):
    """What a person does first, each command behind `prefix`."""
    train = run([*prefix, NODE, "train", "--config", str(root / "small.json"), "--data", str(root / "text.txt"), "--out",
                 name, "--json"], root)
    lines = train.stdout.splitlines()
    check(f"{name}: a run", train.returncode == 0 and bool(lines) and json.loads(lines[-1]).get("done") is True)
    answer = run([*prefix, NODE, "generate", "--model", name, "--prompt", "The file", "--max-tokens", "3", "--json"], root)
    check(f"{name}: an answer", answer.returncode == 0)
    check(f"{name}: devices", run([*prefix, NODE, "devices"], root).returncode == 0)
    if WINDOW:
        picture = run([*prefix, WINDOW, name, "--headless", "--screenshot", f"{name}.png", "--command", "run.start"], root)
        check(f"{name}: the window", picture.returncode == 0 and (root / f"{name}.png").exists())


def sockets(trace):
    """Families that were asked for, without those that stay on the machine."""
    found = set(re.findall(r"socket\((AF_\w+|PF_\w+|\d+)", trace.read_text(errors="replace")))
    return found - {"AF_UNIX", "AF_NETLINK", "PF_UNIX", "PF_NETLINK"}


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="moescope-offline-", dir="/tmp"))
    try:
        (root / "run").mkdir(mode=0o700)
        (root / "small.json").write_text(json.dumps(SMALL))
        (root / "text.txt").write_text("".join(f"The file number {n} is opened for reading.\n" for n in range(3000)))
        if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0:
            tour(["unshare", "-rn"], root, "alone")
        else:
            print("skipped: no network namespace can be made here (unshare -rn)", flush=True)
        works = shutil.which("strace") and run(["strace", "-o", str(root / "x"), "true"], root).returncode == 0
        if not works:
            print("skipped: the trace of system calls needs strace, and the right to use it", flush=True)
            return
        trace = root / "trace"
        tour(["strace", "-f", "-A", "-e", "trace=socket", "-o", str(trace)], root, "traced")
        check(f"no socket but the machine's own: {sorted(sockets(trace))}", not sockets(trace))
        check("the trace is of something", "AF_UNIX" in trace.read_text(errors="replace"))
        control = root / "control"
        run(["strace", "-f", "-e", "trace=socket", "-o", str(control), NODE, "models", "add", "http://127.0.0.1:9/v1"], root)
        check("a command that goes to the network would be seen", bool(sockets(control)))
    finally:
        shutil.rmtree(root, ignore_errors=True)
        print(f"{len(failures)} failures", flush=True)
        sys.exit(1 if failures else 0)


main()
