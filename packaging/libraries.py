"""What programs load on this machine, and in which folder of a pack it belongs."""
import os
import pathlib
import re
import subprocess
import sys

# The C library goes with its loader, for machines whose own is older.
LIBC = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|mvec|anl|nsl(?=\.so\.1)|BrokenLocale|nss_(compat|dns|files|hesiod)))\.so")
CXX = re.compile(r"^lib(stdc\+\+|gcc_s)\.so")
# What drivers for graphics load too, or what reads the machine's own data: there the newer one is taken.
DRIVERS = re.compile(r"^lib(X\w*|xcb[\w-]*|X11-xcb|GL\w*|EGL|OpenGL|fontconfig|freetype|expat|png16|brotli\w+|z|zstd|uuid|bsd|md)\.so")


def output(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, **more).stdout


def loaded_with(file, search=""):
    """Name to path of everything that is loaded with a program or library."""
    found = {}
    for line in output("ldd", file, env={**os.environ, "LD_LIBRARY_PATH": search}).splitlines():
        match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if match:
            found[pathlib.Path(match[1] or match[2]).name] = pathlib.Path(match[2])
        elif "not found" in line:
            sys.exit(f"{file}: {line.strip()}")
    return found


def compiler_library(name):
    """A library that is opened by name, as the compiler finds it."""
    path = pathlib.Path(output("c++", f"-print-file-name={name}").strip())
    return path if path.is_absolute() else None


def cached(build, name):
    """A variable of a build folder."""
    for line in (build / "CMakeCache.txt").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.partition("=")[2]
    return ""
