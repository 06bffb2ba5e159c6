"""Starting a bundle as people would, here or in a folder that is a system of its own."""
import json
import pathlib
import shutil
import subprocess

SMALL = {"name": "small",
         "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "head_width": 16, "experts": 4,
                   "experts_per_token": 2, "expert_width": 16, "context": 32, "vocabulary": 320},
         "train": {"steps": 2, "batch": 2, "checkpoint_every": 2}}
PNG = b"\x89PNG\r\n\x1a\n"


class Machine:
    """A system below `root` with nothing of this one but its kernel (/proc, /sys, /dev); without root this machine itself.
    `work`: a folder for what is written, as it is called from outside; programs get no variables but these."""

    def __init__(self, work, root=None, **variables):
        self.root, self.work = root, pathlib.Path(work)
        self.variables = {"HOME": self.inside(self.work), **variables}
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "small.json").write_text(json.dumps(SMALL))
        (self.work / "text.txt").write_text("".join(f"The file number {n} is opened for reading.\n" for n in range(3000)))
        if root is not None:
            for folder in ("proc", "sys", "dev", "tmp"):
                (root / folder).mkdir(exist_ok=True)

    def inside(self, path):
        return str(path) if self.root is None else "/" + str(pathlib.Path(path).relative_to(self.root))

    def run(self, *command, cwd=None, timeout=120, **variables):
        command, options = [str(word) for word in command], {}
        if self.root is None:
            options["cwd"] = cwd or self.work
        else:
            # The mounts go with the process. Everything else is looked up before the root is changed.
            script = 'for d in proc sys dev; do mount --rbind /$d "$0/$d" || exit 125; done; exec ' + \
                f'{shutil.which("chroot")} "$0" "$@"'
            command = [shutil.which("unshare"), "-m", shutil.which("sh"), "-c", script, str(self.root), *command]
            variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables}
        return subprocess.run(command, env={**self.variables, **variables}, capture_output=True, text=True, timeout=timeout,
                              errors="replace", **options)


def node_problems(machine, folder, version, **variables):
    """What does not work of moescope-node in a bundle that lies in `folder`; empty when all does."""
    node, work = f"{machine.inside(folder)}/bin/moescope-node", machine.inside(machine.work)
    problems = []

    def check(what, done, right):
        if done.returncode != 0 or not right(done.stdout):
            problems.append(f"{what}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")

    check("--version", machine.run(node, "--version", **variables), lambda text: text.strip() == version)
    check("devices", machine.run(node, "devices", "--json", **variables), lambda text: "cpu" in text)
    session = machine.work / "session"
    shutil.rmtree(session, ignore_errors=True)
    done = machine.run(node, "train", "--config", f"{work}/small.json", "--data", f"{work}/text.txt", "--out", f"{work}/session",
                       "--json", **variables)
    check("train", done, lambda text: text and json.loads(text.splitlines()[-1]).get("done") is True)
    check("generate", machine.run(node, "generate", "--model", f"{work}/session", "--prompt", "The file", "--max-tokens", "2",
                                  "--json", **variables), lambda text: text)
    return problems


def window_problem(machine, folder, *options, **variables):
    """Why no picture of the window came, in its own words; empty when one did."""
    picture = machine.work / "window.png"
    picture.unlink(missing_ok=True)
    shutil.rmtree(machine.work / "window", ignore_errors=True)
    work = machine.inside(machine.work)
    done = machine.run(f"{machine.inside(folder)}/bin/moescope", f"{work}/window", "--screenshot", f"{work}/window.png", *options,
                       **variables)
    if done.returncode == 0 and picture.is_file() and picture.read_bytes().startswith(PNG):
        return ""
    return f"exit {done.returncode}: {done.stderr.strip()[-1000:]}"
