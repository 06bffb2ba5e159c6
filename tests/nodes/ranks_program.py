"""Several processes under a real mpirun: they train what one trains, a killed one stops all, and the run goes on from its
last checkpoint on another number of processes, with the bytes of a run that was never broken.

Usage: ranks_program.py MOESCOPE_NODE MPIRUN"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

NODE, MPIRUN = sys.argv[1:3]
STEPS = 200
CONFIG = {"name": "tiny",
          "model": {"vocabulary": 320, "width": 32, "layers": 2, "heads": 2, "kv_heads": 1, "head_width": 16,
                    "experts": 8, "experts_per_token": 2, "expert_width": 32, "context": 32},
          "train": {"batch": 4, "steps": STEPS, "warmup_steps": 5, "evaluate_every": 1000, "sample_every": 1000,
                    "checkpoint_every": 10, "threads": 1}}
# Containers run as root, and there may be more ranks than cores.
ENVIRONMENT = dict(os.environ, OMP_WAIT_POLICY="passive", OMPI_ALLOW_RUN_AS_ROOT="1",
                   OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def check(right, what):
    if not right:
        sys.exit("ranks_program: " + what)


def command(ranks, session, *more):
    train = [NODE, "train", "--config", "config.json", "--data", "text.txt", "--out", session, "--json", *more]
    if ranks == 1:
        return train
    return [MPIRUN, "--oversubscribe", "-n", str(ranks), *train, "--expert-parallel", str(ranks)]


def steps_of(text):
    records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [record for record in records if "step" in record], [record for record in records if record.get("done")]


def train(ranks, session, *more):
    done = subprocess.run(command(ranks, session, *more), env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    check(done.returncode == 0, f"{ranks} ranks ended with {done.returncode}: {done.stderr}")
    steps, last = steps_of(done.stdout)
    check(len(last) == 1, f"{ranks} ranks printed {len(last)} last lines, not one")
    return steps, last[0]["parameters_sha256"]


def children_of(process):
    return [int(child) for child in
            pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def works(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main():
    pathlib.Path("config.json").write_text(json.dumps(CONFIG))
    pathlib.Path("text.txt").write_text("".join(
        f"The router sends token {i} to a few experts. 路由器把词元 {i * 7 % 13} 交给专家。\n" for i in range(600)))

    one, expected = train(1, "one")
    two, actual = train(2, "two")
    check(len(one) == len(two) == STEPS, f"{len(one)} and {len(two)} steps, not {STEPS}")
    apart = max(abs(a["loss"] - b["loss"]) for a, b in zip(one, two))
    check(apart <= 1e-5, f"losses are {apart} apart")
    check(actual == expected, "2 ranks have other parameters than one")

    running = subprocess.Popen(command(2, "killed"), env=ENVIRONMENT, stdout=open("killed.json", "w"),
                               stderr=open("killed.err", "w"))
    while len(steps_of(pathlib.Path("killed.json").read_text().rpartition("\n")[0])[0]) < 25:
        check(running.poll() is None, "the run ended before it could be killed: " +
              pathlib.Path("killed.err").read_text())
        time.sleep(0.01)
    ranks = children_of(running.pid)
    check(len(ranks) == 2, f"mpirun has {len(ranks)} children, not 2")
    killed = time.monotonic()
    os.kill(ranks[1], signal.SIGKILL)
    check(running.wait(timeout=60) != 0, "mpirun took a killed rank for success")
    while any(works(rank) for rank in ranks):
        check(time.monotonic() - killed < 10, "the others went on for more than 10 s")
        time.sleep(0.01)
    steps, last = steps_of(pathlib.Path("killed.json").read_text())
    check(len(steps) < STEPS and not last, "the killed run came to its end")

    _, resumed = train(4, "killed", "--resume")
    check(resumed == expected, "the run that went on on 4 ranks has other parameters")

    # One that hangs is waited for only so long, and the run goes on from its last checkpoint.
    hung = subprocess.Popen(command(2, "hung"), env=dict(ENVIRONMENT, MOESCOPE_RANK_PATIENCE="2"),
                            stdout=open("hung.json", "w"), stderr=open("hung.err", "w"))
    while len(steps_of(pathlib.Path("hung.json").read_text().rpartition("\n")[0])[0]) < 25:
        check(hung.poll() is None, "the run ended before it could hang: " + pathlib.Path("hung.err").read_text())
        time.sleep(0.01)
    stopped = children_of(hung.pid)[1]
    os.kill(stopped, signal.SIGSTOP)
    check(hung.wait(timeout=60) != 0, "a hung rank was taken for success")
    told = pathlib.Path("hung.err").read_text()
    check("the other ranks did not answer for 2 seconds" in told, f"what hung was not said: {told}")
    _, resumed = train(2, "hung", "--resume")
    check(resumed == expected, "the run that hung has other parameters")

    # Going on with other settings is refused, and what differs is named; as many threads as the machine has are no setting.
    json_path = pathlib.Path("config.json")
    json_path.write_text(json.dumps(dict(CONFIG, train=dict(CONFIG["train"], threads=0, warmup_steps=7))))
    other = subprocess.run(command(1, "killed", "--resume"), env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    check(other.returncode == 1 and "(train.warmup_steps 5, not 7)" in other.stderr,
          f"other settings went on: {other.stderr}")
    json_path.write_text(json.dumps(CONFIG))
    alone = subprocess.run([NODE, "train", "--config", "config.json", "--data", "text.txt", "--out", "x", "--all-to-all"],
                           env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    check(alone.returncode == 2 and "--all-to-all needs --expert-parallel" in alone.stderr,
          f"tokens that travel nowhere: {alone.stderr}")

    # Ranks that were told different things are told so before anything begins.
    rank = "$OMPI_COMM_WORLD_RANK"
    wrong = subprocess.run([MPIRUN, "--oversubscribe", "-n", "2", "sh", "-c",
                            f"exec {NODE} train --config config.json --data text.txt --out wrong --seed 1{rank}"],
                           env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    check(wrong.returncode != 0, "ranks with different seeds trained")
    told = [line for line in wrong.stderr.splitlines() if line.startswith("moescope-node:")]
    check(told and "rank" in told[0], f"what was wrong was not said: {wrong.stderr}")
    print("2 ranks train what one does; a killed one stopped the others, and 4 went on with the same bytes")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
