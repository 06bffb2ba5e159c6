#!/usr/bin/env python3
"""Nodes on other machines, as people use them: a listener with pairing, and ssh with an sshd of the test's own.

Usage: remote_program.py MOESCOPE_NODE
       remote_program.py NODE_IN_A_BUNDLE ARCHIVE   only that it is copied to a machine that lacks it
"""
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

NODE = os.path.abspath(sys.argv[1])
failures = []


def check(what, right):
    print(("ok    " if right else "FAILED ") + what, flush=True)
    if not right:
        failures.append(what)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Place:
    """A machine: its own home and data folders."""

    def __init__(self, folder, **more):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"),
                            "XDG_RUNTIME_DIR": str(folder / "run"), **more}
        (folder / "run").mkdir(mode=0o700, exist_ok=True)

    def run(self, *arguments, timeout=120):
        return subprocess.run([NODE, *arguments], env=self.environment, cwd=self.folder, capture_output=True, text=True,
                              timeout=timeout)

    def json(self, *arguments, timeout=120):
        done = self.run(*arguments, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for(what, condition, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    check(what, False)
    return False


SMALL = {"name": "small",
         "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "head_width": 16, "experts": 4,
                   "experts_per_token": 2, "expert_width": 16, "context": 32, "vocabulary": 320},
         "train": {"steps": 30, "batch": 2, "checkpoint_every": 10}}


def small_config(folder, text, **train):
    (folder / "text.txt").write_text(text)
    config = json.loads(json.dumps(SMALL))
    config["train"].update(train)
    path = folder / "small.json"
    path.write_text(json.dumps(config))
    return str(path)


TEXT = "".join(f"The file number {n} is opened for reading. A signal ends the process {n % 7}.\n" for n in range(4000))


def test_listener(root):
    there, here, other = Place(root / "there"), Place(root / "here"), Place(root / "other")
    port = free_port()
    address = f"127.0.0.1:{port}"
    refused = there.run("serve", "--listen", address, "--session", "S")
    check("a listener that nobody could reach does not start", refused.returncode == 1 and "pair" in refused.stderr)
    check("and leaves nothing behind", not (there.folder / "S").exists())
    invitation = there.run("pair", "--address", address, "--role", "operator").stdout.strip()
    node = subprocess.Popen([NODE, "serve", "--listen", address, "--session", "S"], env=there.environment,
                            cwd=there.folder, stdout=subprocess.PIPE, text=True)
    try:
        check("it says where it listens", node.stdout.readline().strip() == f"listening at {address}")
        status = here.json("status", "--node", invitation, "--json")[0]
        check("status by invitation", status["session"].endswith("/S") and status["protocol"].startswith("2."))
        check("the processor is among its devices", any(d["name"] == "cpu" for d in status["devices"]))
        check("the invitation is used up", other.run("status", "--node", invitation).returncode == 1)
        tls = f"tls://{address}"
        check("a stranger is told to be paired", "not paired" in other.run("status", "--node", tls).stderr)

        config = small_config(here.folder, TEXT)
        outside = here.run("train", "--node", tls, "--config", config, "--data", "/etc/passwd", "--json")
        check("a path outside of the session is refused", outside.returncode == 1 and "another machine" in outside.stderr)
        climbs = here.run("train", "--node", tls, "--config", config, "--data", "../text.txt", "--json")
        check("so is one that climbs", climbs.returncode == 1)
        files = there.folder / "S" / "files"
        files.mkdir()
        (files / "link.txt").symlink_to("/etc/passwd")
        check("and a link", here.run("train", "--node", tls, "--config", config, "--data", "./link.txt").returncode == 1)
        (files / "text.txt").write_text(TEXT)
        lines = here.json("train", "--node", tls, "--config", config, "--data", "./text.txt", "--json")
        check("a run over the network has all its steps", [l.get("step") for l in lines[:-1]] == list(range(1, 31)))
        local = there.json("train", "--config", config, "--data", str(files / "text.txt"), "--out", "L", "--json")
        check("and the bytes of one that was started there",
              lines[-1]["done"] and lines[-1]["parameters_sha256"] == local[-1]["parameters_sha256"])
        answer = here.json("generate", "--node", tls, "--model", "checkpoint:1", "--prompt", "The file", "--max-tokens",
                           "5", "--json")[0]
        check("an answer from there", answer["tokens"] == 5 and answer["model"] == "checkpoint:1:30")
        unknown = here.run("generate", "--node", tls, "--model", "/etc/passwd", "--prompt", "x")
        check("a model by its path is refused", unknown.returncode == 1 and "library" in unknown.stderr)

        look = there.run("pair", "--address", address, "--role", "viewer").stdout.strip()
        check("a viewer may look", other.run("status", "--node", look).returncode == 0)
        forbidden = other.run("train", "--node", tls, "--config", config, "--json")
        check("and start nothing", forbidden.returncode == 1 and "role operator" in forbidden.stderr)
        viewers = there.json("pair", "--list", "--json")
        check("both are listed", [v["role"] for v in viewers] == ["operator", "viewer"])
        check("one is forgotten", there.run("pair", "--forget", viewers[0]["key"][:12]).returncode == 0)
        gone = here.run("status", "--node", tls)
        check("and is turned away", gone.returncode == 1 and "does not know" in gone.stderr)
    finally:
        node.send_signal(signal.SIGTERM)
        check("the node ends as it is told to", node.wait(30) == 0)


def start_sshd(root, there):
    """An sshd for the current user on a port of loopback, with keys of the test's own; its port and a ssh that knows it."""
    server = root / "sshd"
    server.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(server / name)], check=True)
    (server / "authorized").write_bytes((server / "user.pub").read_bytes())
    os.chmod(server / "authorized", 0o600)
    port = free_port()
    variables = " ".join(f'"{k}={v}"' for k, v in {
        "HOME": there.folder, "XDG_DATA_HOME": there.folder / "data", "XDG_RUNTIME_DIR": there.folder / "run",
        **{k: v for k, v in os.environ.items() if k.startswith("MOESCOPE_") and " " not in v}}.items())
    (server / "config").write_text(f"""Port {port}
ListenAddress 127.0.0.1
HostKey {server}/host
AuthorizedKeysFile {server}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile {server}/pid
SetEnv {variables}
""")
    os.makedirs("/run/sshd", exist_ok=True)
    subprocess.run([shutil.which("sshd") or "/usr/sbin/sshd", "-f", str(server / "config"), "-E", str(server / "log")],
                   check=True)
    (server / "ssh").write_text(f"""#!/bin/sh
exec ssh -F /dev/null -i {server}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={server}/known \
-o StrictHostKeyChecking=accept-new "$@"
""")
    os.chmod(server / "ssh", 0o700)
    return port, server


def test_ssh(root):
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not os.path.exists(sshd) or shutil.which("ssh-keygen") is None or os.geteuid() != 0:
        print("skipped: nodes over ssh need sshd (openssh-server) and root, who may give it a home of the test's own",
              flush=True)
        return
    there = Place(root / "remote")
    port, server = start_sshd(root, there)
    here = Place(root / "laptop", MOESCOPE_SSH=str(server / "ssh"))
    user = pwd.getpwuid(os.geteuid()).pw_name
    address = f"ssh://{user}@127.0.0.1:{port}"
    try:
        missing = here.run("status", "--node", address)
        check("a machine without the program is told so", missing.returncode == 1 and "no moescope-node at" in missing.stderr)
        programs = there.folder / ".local/share/moescope/bin"
        programs.mkdir(parents=True)
        (programs / "moescope-node").symlink_to(NODE)
        first = here.json("status", "--node", address, "--json")[0]
        check("status over ssh", first["session"] == str(there.folder / "data/moescope/sessions/node"))
        # A run goes on when the command that follows it, and with it ssh, is killed.
        config = small_config(here.folder, TEXT, steps=4000, checkpoint_every=1000)
        session = pathlib.Path(first["session"])
        (session / "files").mkdir(exist_ok=True)
        (there.folder / "text.txt").write_text(TEXT)
        follower = subprocess.Popen([NODE, "train", "--node", address, "--config", config, "--data",
                                     str(there.folder / "text.txt"), "--json"],
                                    env=here.environment, cwd=here.folder, stdout=subprocess.PIPE, text=True)
        check("its steps come", json.loads(follower.stdout.readline())["step"] == 1)
        follower.kill()
        follower.wait()

        def job():
            jobs = here.json("status", "--node", address, "--json")[0]["jobs"]
            return jobs[0] if jobs else None
        before = job()
        check("it goes on without who started it", before is not None and before["state"] == "running")
        time.sleep(1)
        after = job()
        check("and gets on", before and after and after["step"] > before["step"])
        node = subprocess.run(["pgrep", "-f", f"serve --socket .*--session {session}"], capture_output=True, text=True)
        check("one node serves the session", len(node.stdout.split()) == 1)
        elsewhere = address + str(there.folder / "quote's session")
        check("a session with a quote and a blank in its name",
              here.json("status", "--node", elsewhere, "--json")[0]["session"].endswith("quote's session"))
        wrong = here.run("status", "--node", f"ssh://nobody-here@127.0.0.1:{port}")
        check("who may not enter is told so", wrong.returncode == 1 and "does not let this user in" in wrong.stderr)
        nobody = here.run("status", "--node", f"ssh://{user}@127.0.0.1:{free_port()}")
        check("a port where nobody listens is told", nobody.returncode == 1 and "refused" in nobody.stderr)
        (server / "known").write_text(f"[127.0.0.1]:{port} ssh-ed25519 " + (server / "user.pub").read_text().split()[1])
        changed = here.run("status", "--node", address)
        check("another key of the machine is told", changed.returncode == 1 and "key of" in changed.stderr)
    finally:
        subprocess.run(["pkill", "-TERM", "-f", f"serve --socket {there.folder}/run/"], check=False)
        os.kill(int((server / "pid").read_text()), signal.SIGTERM)
        wait_for("the nodes end", lambda: subprocess.run(
            ["pgrep", "-f", f"serve --socket {there.folder}/run/"], capture_output=True).returncode != 0)


def test_copy(root, archive):
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not os.path.exists(sshd) or shutil.which("ssh-keygen") is None or os.geteuid() != 0:
        print("skipped: a copy over ssh needs sshd (openssh-server) and root, who may give it a home of the test's own", flush=True)
        return
    there = Place(root / "a remote 'home'")
    port, server = start_sshd(root, there)
    here = Place(root / "laptop", MOESCOPE_SSH=str(server / "ssh"))
    address = f"ssh://{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{port}"
    version = here.run("--version").stdout.strip()
    place = there.folder / ".local/share/moescope"
    try:
        missing = here.run("status", "--node", address)
        check("what is missing is said, and what helps", missing.returncode == 1 and "moescope-node install" in missing.stderr)
        cut = root / "cut.tar.gz"
        cut.write_bytes(pathlib.Path(archive).read_bytes()[:1_000_000])
        broken = here.run("install", "--node", address, "--archive", str(cut))
        check("half an archive is not unpacked", broken.returncode == 1 and "could not be unpacked" in broken.stderr)
        check("and leaves nothing", not list(place.iterdir()))
        done = here.run("install", "--node", address, "--archive", archive)
        check(f"the archive is copied: {done.stderr.strip()}", done.returncode == 0 and version in done.stdout)
        check("it lies under its version", [entry.name for entry in place.iterdir()] == [version])
        check("and is found", here.json("status", "--node", address, "--json")[0]["version"].startswith(version))
        again = here.json("install", "--node", address, "--json")
        check("a bundle packs itself", again[0]["version"] == version and again[0]["bytes"] > 1_000_000)
        check("in place of the other", {entry.name for entry in place.iterdir()} <= {version, "sessions"})
        check("which works too", here.run("status", "--node", address).returncode == 0)
    finally:
        subprocess.run(["pkill", "-TERM", "-f", f"serve --socket {there.folder}/run/"], check=False)
        os.kill(int((server / "pid").read_text()), signal.SIGTERM)


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="moescope-remote-", dir="/tmp"))
    try:
        if len(sys.argv) > 2:
            test_copy(root, sys.argv[2])
        else:
            test_listener(root)
            test_ssh(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if failures else 0)


main()
