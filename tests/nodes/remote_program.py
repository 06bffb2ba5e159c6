#!/usr/bin/env python3
"""Nodes on other machines, as people use them: a listener with pairing, and ssh with an sshd of the test's own.

Usage: remote_program.py MOESCOPE_NODE
       remote_program.py NODE_IN_A_BUNDLE ARCHIVE   only that it is copied to a machine that lacks it
"""
import hashlib
import json
import os
import pathlib
import pwd
import random
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
                   "experts_per_token": 2, "expert_width": 16, "vocabulary": 320},
         "train": {"steps": 30, "batch": 2, "checkpoint_every": 10}}


def small_config(folder, text, context=512, **train):
    """With room for the questions of a probe set."""
    (folder / "text.txt").write_text(text)
    config = json.loads(json.dumps(SMALL))
    config["model"]["context"] = context
    config["train"].update(train)
    path = folder / "small.json"
    path.write_text(json.dumps(config))
    return str(path)


def check_questions(here, address, model, name):
    """An answer and a probe run of a model there, and the sentences where that can't be."""
    answer = ["--prompt", "The file", "--max-tokens", "5"]
    one = here.json("generate", "--node", address, "--model", model, *answer, "--json")[0]
    check(f"{name}: an answer", one["tokens"] == 5 and one["model"].startswith(model))
    words = here.run("generate", "--node", address, "--model", model, *answer)
    check(f"{name}: in words", words.returncode == 0 and words.stdout.rstrip("\n") == one["text"].rstrip("\n"))
    models = f"{model}:10,{model}:30"
    ask = ["probe", "--node", address, "--set", "starter", "--models", models, "--limit", "2", "--max-tokens", "4",
           "--no-chat"]
    lines = here.json(*ask, "--json")
    draws, end = lines[:-1], lines[-1]
    keys = {(d["item"], d["model"], d["language"], d["draw"]) for d in draws}
    check(f"{name}: a probe run tells each answer once",
          len(draws) == len(keys) == draws[0]["planned"] == end["answers"] and len({d["item"] for d in draws}) == 2)
    check(f"{name}: with what was asked and answered",
          all(d["prompt"] and d["stop"] != "error" and d["delivery"] and d["model"].startswith(model) for d in draws))
    check(f"{name}: and the rates", end["done"] and any(c["scope"] == "group" for c in end["statistics"]["cells"]))
    table = here.run(*ask)
    check(f"{name}: as a table", table.returncode == 0 and "engaged %" in table.stdout and "error" not in table.stdout)
    unknown = here.run("probe", "--node", address, "--set", "no-such-set", "--models", models)
    check(f"{name}: a set that is not there", unknown.returncode == 1 and "no-such-set" in unknown.stderr)
    nobody = here.run("probe", "--node", address, "--set", "starter", "--models", f"{model},no-such-model")
    check(f"{name}: nor a model", nobody.returncode == 1 and "no-such-model" in nobody.stderr)
    for option in (["--resume"], ["--device", "cpu"]):
        both = here.run(*ask, *option)
        check(f"{name}: {option[0]} does not go with it", both.returncode == 1 and option[0] in both.stderr)


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
        check("the folder for files is made by the node", files.is_dir())
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
        check_questions(here, tls, "checkpoint:1", "tls")
        set_there = here.run("probe", "--node", tls, "--set", "/etc/passwd", "--models",
                             "checkpoint:1:10,checkpoint:1:30")
        check("a probe set by its path is refused", set_there.returncode == 1 and "another machine" in set_there.stderr)
        unknown = here.run("generate", "--node", tls, "--model", "/etc/passwd", "--prompt", "x")
        check("a model by its path is refused", unknown.returncode == 1 and "library" in unknown.stderr)

        look = there.run("pair", "--address", address, "--role", "viewer").stdout.strip()
        check("a viewer may look", other.run("status", "--node", look).returncode == 0)
        forbidden = other.run("train", "--node", tls, "--config", config, "--json")
        check("and start nothing", forbidden.returncode == 1 and "role operator" in forbidden.stderr)
        asked = other.run("probe", "--node", tls, "--set", "starter", "--models",
                          "checkpoint:1:10,checkpoint:1:30")
        check("nor ask anything", asked.returncode == 1 and "role operator" in asked.stderr)
        silent = other.run("notes", "add", "--node", tls, "--text", "x", "--run", "1", "--step", "2")
        check("nor write a note", silent.returncode == 1 and "role operator" in silent.stderr)
        noted = here.json("notes", "add", "--node", tls, "--text", "odd", "--run", "1", "--step", "2", "--json")[0]
        written = there.json("notes", "S", "--json")
        check("an operator's note has their role", noted["note"] == 1 and written[0]["role"] == "operator")
        check("who may only look reads it", other.json("notes", "--node", tls, "--json") == written)
        viewers = there.json("pair", "--list", "--json")
        check("both are listed", [v["role"] for v in viewers] == ["operator", "viewer"])
        check("one is forgotten", there.run("pair", "--forget", viewers[0]["key"][:12]).returncode == 0)
        gone = here.run("status", "--node", tls)
        check("and is turned away", gone.returncode == 1 and "does not know" in gone.stderr)
    finally:
        node.send_signal(signal.SIGTERM)
        check("the node ends as it is told to", node.wait(30) == 0)


def test_socket(root):
    """A node of this machine, by its socket."""
    here = Place(root / "alone")
    socket_path = here.folder / "run/node.socket"
    address = f"unix:{socket_path}"
    missing = here.run("generate", "--node", address, "--model", "x", "--prompt", "x")
    check("a socket that is not there is told", missing.returncode == 1 and str(socket_path) in missing.stderr)
    node = subprocess.Popen([NODE, "serve", "--socket", str(socket_path), "--session", "S"], env=here.environment,
                            cwd=here.folder)
    try:
        wait_for("a socket", socket_path.exists)
        config = small_config(here.folder, TEXT)
        lines = here.json("train", "--node", address, "--config", config, "--data", str(here.folder / "text.txt"),
                          "--json")
        check("a run by the socket", lines[-1]["done"])
        check_questions(here, address, "checkpoint:1", "socket")
        config = small_config(here.folder, TEXT, context=32)
        run = here.json("train", "--node", address, "--config", config, "--data", str(here.folder / "text.txt"),
                        "--json")[-1]["run"]
        short = here.run("probe", "--node", address, "--set", "starter", "--models",
                         f"checkpoint:{run}:10,checkpoint:{run}:30",
                         "--limit", "1", "--no-chat")
        check("where no question can be answered, that is said",
              short.returncode == 1 and "no model could answer" in short.stderr)
    finally:
        node.send_signal(signal.SIGTERM)
        check("its node ends", node.wait(30) == 0)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def part_bytes(part):
    """How many ranges a transfer has noted."""
    notes = part / ".moescope-transfer"
    return max(0, notes.read_text().count("\n") - 1) if notes.exists() else 0


def test_transfers(root):
    there, here, other = Place(root / "far"), Place(root / "near"), Place(root / "guest")
    port = free_port()
    address = f"127.0.0.1:{port}"
    invitation = there.run("pair", "--address", address, "--role", "admin").stdout.strip()
    look = there.run("pair", "--address", address, "--role", "viewer").stdout.strip()

    def start():
        node = subprocess.Popen([NODE, "serve", "--listen", address, "--session", "S"], env=there.environment,
                                cwd=there.folder, stdout=subprocess.PIPE, text=True)
        node.stdout.readline()
        return node
    node = start()
    tls = f"tls://{address}"
    try:
        # A text that lies here is sent, trained on there, and the checkpoint comes back.
        here.json("status", "--node", invitation, "--json")
        config = small_config(here.folder, TEXT)
        sent = here.json("push", "--node", tls, "text.txt", "--json")[0]
        check("a text is sent", sent["name"] == "text.txt" and sent["bytes"] == len(TEXT))
        same = here.json("push", "--node", tls, "text.txt", "--json")[0]
        check("what is there already is done", same["name"] == "text.txt" and same["bytes"] == len(TEXT))
        work = there.run("pair", "--address", address, "--role", "operator").stdout.strip()
        worker = Place(root / "worker")
        worker.run("status", "--node", work)
        (worker.folder / "m").mkdir()
        (worker.folder / "m/x").write_bytes(bytes(1000))
        early = worker.run("push", "--node", tls, "--add-model", "m")
        check("a model that may not be added is not sent", early.returncode == 1 and "role admin" in early.stderr
              and not (there.folder / "S/files/m").exists())
        check("and its progress is none of a terminal", "\r" not in early.stderr)
        (there.folder / "S").rename(there.folder / "moved")
        for lost in (["pull", "--list"], ["push", "text.txt", "--name", "other.txt"]):
            here.run(lost[0], "--node", tls, *lost[1:])
        check("no folder is made where the session was", not (there.folder / "S").exists())
        (there.folder / "moved").rename(there.folder / "S")
        check("as it is", digest(there.folder / "S/files/text.txt") == digest(here.folder / "text.txt"))
        (here.folder / "odd").mkdir()
        (here.folder / "odd/text.txt").write_text(TEXT[:-1] + "?")
        again = here.run("push", "--node", tls, "odd/text.txt")
        check("another one is not put in its place unasked", again.returncode == 1 and "there already" in again.stderr)
        climbs = here.run("push", "--node", tls, "text.txt", "--name", "../out.txt")
        check("nor is one put elsewhere", climbs.returncode == 1 and "another machine" in climbs.stderr
              and not (there.folder / "S/out.txt").exists())
        lines = here.json("train", "--node", tls, "--config", config, "--data", sent["use"], "--json")
        check("a run on the text that was sent", lines[-1]["done"])
        for _ in range(20):  # the node looks for new checkpoints now and then
            listed = {entry["name"]: entry for entry in here.json("pull", "--node", tls, "--list", "--json")}
            if "checkpoint:1:30" in listed:
                break
            time.sleep(0.3)
        check("what can be fetched is listed",
              listed["text.txt"]["bytes"] == len(TEXT) and "checkpoint:1:30" in listed and "session" in listed)
        done = here.json("pull", "--node", tls, "checkpoint:1", "--out", "C", "--json")[0]
        theirs = there.folder / "S/checkpoints/run-1/step-00000030"
        names = sorted(p.name for p in theirs.iterdir())
        check("a checkpoint is fetched", done["files"] == len(names) and sorted(p.name for p in (here.folder / "C").iterdir()) == names
              and all(digest(here.folder / "C" / n) == digest(theirs / n) for n in names))
        answer = ["--prompt", "The file", "--max-tokens", "5", "--json"]
        check("it answers as it does there", here.json("generate", "--model", "C", *answer)[0]["text"] ==
              here.json("generate", "--node", tls, "--model", "checkpoint:1", *answer)[0]["text"])
        trained = here.json("train", "--init", "C", "--data", "text.txt", "--steps", "2", "--out", "T", "--json")
        check("and training goes on from it", trained[-1]["done"])
        added = here.json("push", "--node", tls, "C", "--name", "model", "--add-model", "--json")[0]
        check("a model that is sent answers there",
              here.json("generate", "--node", tls, "--model", added["model"], *answer)[0]["tokens"] == 5)
        report = here.run("pull", "--node", tls, "nowhere.html")
        check("what is not there is told", report.returncode == 1 and "nowhere.html" in report.stderr)
        outside = here.run("pull", "--node", tls, "/etc/passwd", "--out", "passwd")
        check("and nothing from outside comes", outside.returncode == 1 and "another machine" in outside.stderr)
        other.json("status", "--node", look, "--json")
        refused = other.run("pull", "--node", tls, "text.txt")
        check("who may only look fetches nothing", refused.returncode == 1 and "role operator" in refused.stderr)
        refused = other.run("push", "--node", tls, str(here.folder / "text.txt"))
        check("and sends nothing", refused.returncode == 1 and "role operator" in refused.stderr)
        check("but sees what there is", other.run("pull", "--node", tls, "--list").returncode == 0)

        # The session in one file, from another machine.
        here.json("pull", "--node", tls, "session", "--out", "S.moescope", "--json")
        opened = here.json("open", "S.moescope", "--json")[0]
        check("a session that was fetched is opened", opened["unpacked"] and opened["runs"][0]["state"] == "done"
              and opened["problems"] == [])
        check("nothing of its packing stays there", not list((there.folder / "S").glob(".packed*")))

        # A large one: killed here, then there, and gone on with.
        large = there.folder / "S/files/large.bin"
        large.write_bytes(random.Random(1).randbytes(200 << 20))

        def killed_after(ranges, what, number=signal.SIGKILL):
            part = here.folder / "large.bin.part"
            process = subprocess.Popen([NODE, "pull", "--node", tls, "large.bin", "--json"], env=here.environment,
                                       cwd=here.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_for(what, lambda: part_bytes(part) >= ranges or process.poll() is not None)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
            return process.returncode, said, part_bytes(part)
        _, _, before = killed_after(5, "some ranges")
        check("a killed transfer leaves what has come", before >= 5 and not (here.folder / "large.bin").exists())
        status, said, after = killed_after(before + 3, "some more", signal.SIGINT)
        check("a signal says where it is kept", status == 130 and "large.bin.part" in said and "goes on" in said)
        check("it went on and did not begin anew", after >= before + 3)
        process = subprocess.Popen([NODE, "pull", "--node", tls, "large.bin", "--json"], env=here.environment,
                                   cwd=here.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("some after that", lambda: part_bytes(here.folder / "large.bin.part") >= after + 3
                 or process.poll() is not None)
        node.kill()
        node.wait()
        node = start()
        out, said = process.communicate(timeout=120)
        check("a node that is killed and started again is waited for", process.returncode == 0)
        check("and the file is whole", digest(here.folder / "large.bin") == digest(large))
        check("nothing else is left", not (here.folder / "large.bin.part").exists())
        # The same to there.
        process = subprocess.Popen([NODE, "push", "--node", tls, "large.bin", "--name", "back.bin"], env=here.environment,
                                   cwd=here.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        part = there.folder / "S/files/back.bin.part"
        wait_for("ranges there", lambda: part_bytes(part) >= 5 or process.poll() is not None)
        process.kill()
        process.communicate()
        before = part_bytes(part)
        check("a killed one leaves its part there", before >= 5)
        here.json("push", "--node", tls, "large.bin", "--name", "back.bin", "--json")
        check("what was sent in two goes is whole", digest(there.folder / "S/files/back.bin") == digest(large)
              and not part.exists())
        # One that changes in the middle begins anew and is never a mixture.
        (here.folder / "large.bin").unlink()
        _, _, before = killed_after(5, "ranges of the old one")
        large.write_bytes(random.Random(2).randbytes(60 << 20))
        here.json("pull", "--node", tls, "large.bin", "--json")
        check("a file that has changed comes whole", digest(here.folder / "large.bin") == digest(large))
    finally:
        node.send_signal(signal.SIGTERM)
        check("the node ends", node.wait(30) == 0)


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
        session = pathlib.Path(first["session"])
        (session / "files").mkdir(exist_ok=True)
        (there.folder / "text.txt").write_text(TEXT)
        short = here.json("train", "--node", address, "--config", small_config(here.folder, TEXT), "--data",
                          str(there.folder / "text.txt"), "--json")
        check("a run over ssh", short[-1]["done"])
        check_questions(here, address, "checkpoint:1", "ssh")
        # A run goes on when the command that follows it, and with it ssh, is killed.
        config = small_config(here.folder, TEXT, context=32, steps=40000, checkpoint_every=1000)
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
        deadline = time.monotonic() + 60
        after = job()
        while before and after and after["step"] <= before["step"] and time.monotonic() < deadline:
            time.sleep(0.2)
            after = job()
        check("and gets on", before and after and after["step"] > before["step"])
        node = subprocess.run(["pgrep", "-f", f"serve --socket .*--session {session}"], capture_output=True, text=True)
        check("one node serves the session", len(node.stdout.split()) == 1)
        elsewhere = address + str(there.folder / "quote's session")
        check("a session with a quote and a blank in its name",
              here.json("status", "--node", elsewhere, "--json")[0]["session"].endswith("quote's session"))
        here.json("pull", "--node", address, str(there.folder / "text.txt"), "--out", "fetched.txt", "--json")
        check("a file anywhere is fetched over ssh", (here.folder / "fetched.txt").read_text() == TEXT)
        sent = here.json("push", "--node", address, "fetched.txt", "--json")[0]
        check("and one is sent", pathlib.Path(sent["use"]).read_text() == TEXT)
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
            test_socket(root)
            test_listener(root)
            test_transfers(root)
            test_ssh(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if failures else 0)


main()
