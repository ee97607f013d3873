#!/usr/bin/env python3
"""Everything from nothing, with Python alone.

    python3 start.py             a small Table 1, the book around it, where to open it
    python3 start.py test        the tests; what follows is passed on to pytest
    python3 start.py setup       only the environment
    python3 start.py picture     draw the picture of README and book again from the records

All share one environment, .venv, which is made once and again only when pyproject.toml
or Python changed. Outside this folder only caches and IPython's profile are written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "ready"
OLDEST = (3, 11)
OTHERS = ("python3.14", "python3.13", "python3.12", "python3.11")
WANTED = ("--editable", ".[all]")


def main(arguments):
    command = arguments[0] if arguments else "all"
    known = {"all": everything, "test": run_tests, "setup": lambda: 0, "picture": picture}
    if command not in known or (arguments[1:] and command != "test"):
        if command not in known and not command.startswith("-"):
            print(f"{command!r} is none of {', '.join(list(known)[1:])}\n")
        print(__doc__)
        return 0 if command in ("-h", "--help", "help") else 2
    began = time.monotonic()
    set_up()
    code = known[command](*arguments[1:])
    if code == 0:
        print(f"\nDone in {time.monotonic() - began:.0f} s.")
    return code


# --- the jobs


def everything():
    """Table 1 on digits through its notebook, then the book with that notebook in it."""
    table = ["reproduce", "table1", "--dataset", "digits"]
    pages = ["--only", "reproduce,01_the_long_tail"]
    return lt_core(*table) or lt_core("book", "--quick", *pages) or show_where()


def show_where():
    print("\nThe book is built. Open it with")
    print(f"  {(ROOT / '_build' / 'html' / 'index.html').as_uri()}")
    print(
        "The other pages show their code without its output until you execute them:"
        "\n  .venv/bin/lt-core book --quick"
    )
    return 0


def run_tests(*arguments):
    workers = ["-n", str(min(2, os.cpu_count() or 1)), "--dist", "loadfile"]
    workers += ["--no-loadscope-reorder"]  # the longest files stand first
    command = [venv_python(), "-m", "pytest", *workers, "--timeout", "2400", *arguments]
    return call(command, OMP_NUM_THREADS="1")


def picture():
    return call([venv_python(), "book/front_picture.py"])


def lt_core(*arguments):
    print(f"\n$ lt-core {' '.join(arguments)}", flush=True)
    return call([venv_python(), "-m", "lt_core", *arguments])


def call(command, **environment):
    """The exit code. Bytecode is kept, or every process would compile torch anew: ten seconds."""
    environment = {**os.environ, **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        return subprocess.run([str(part) for part in command], cwd=ROOT, env=environment).returncode
    except KeyboardInterrupt:
        return 130


# --- the environment


def set_up():
    """Make .venv hold what pyproject.toml asks for; nothing to do if it already does."""
    python = suitable_python()
    wanted = fingerprint(python)
    if works(venv_python()) and STAMP.exists() and STAMP.read_text() == wanted:
        return
    if not works(venv_python()):
        print(f"making an environment in {VENV.name}", flush=True)
        create(python)
    found_torch = reuse_torch(python)
    print("installing what is needed: about a minute, most of it is torch", flush=True)
    if not (install_with_uv() if uv_will_do(found_torch) else install()):
        stop(
            "The packages could not be installed; pip says why above. Is there a connection to a"
            " package index? Calling this again goes on from here."
        )
    STAMP.write_text(wanted)


def install(*packages):
    pip = [venv_python(), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    return call([*pip, *(packages or WANTED)]) == 0


def install_with_uv():
    """uv needs a sixth of pip's time; what it cannot get, pip is asked for."""
    uv = [venv_python(), "-m", "uv", "pip", "install", "--quiet", "--python", venv_python()]
    if install("uv") and call([*uv, *WANTED]) == 0:
        return True
    print(
        "uv could not; pip installs instead, in minutes and with its own build of torch", flush=True
    )
    return install()


def uv_will_do(found_torch):
    """uv reads none of pip's settings, and sees no torch outside the environment."""
    shown = [str(venv_python()), "-m", "pip", "config", "list"]
    settings = subprocess.run(shown, capture_output=True, text=True).stdout
    own_index = ".index-url=" in settings or "PIP_EXTRA_INDEX_URL" in os.environ
    if (found_torch or own_index) and "UV_TORCH_BACKEND" in os.environ:
        print("pip installs here, and does not know UV_TORCH_BACKEND", flush=True)
    return not (found_torch or own_index)


def suitable_python():
    """This Python if it is new enough, else the newest one on the path that is."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in OTHERS:
        found = shutil.which(name)
        if found and works(found):
            return found
    found = ".".join(map(str, sys.version_info[:3]))
    stop(f"Python 3.11 or newer is needed; this is {found}, and the path holds no newer one.")


def create(python):
    if call([python, "-c", "import ensurepip, venv"]) != 0:
        stop(
            f"{python} lacks the modules that make environments."
            " On Debian and Ubuntu: apt install python3-venv"
        )
    if call([python, "-m", "venv", "--clear", str(VENV)]) != 0:
        stop(f"{VENV} could not be made; the reason stands above.")


def reuse_torch(python):
    """Let .venv see an installed torch instead of fetching gigabytes again; whether it does."""
    where = subprocess.run([python, "-c", FIND_TORCH], capture_output=True, text=True)
    if where.returncode == 0 and where.stdout.strip():
        folder = Path(where.stdout.strip())
        site = subprocess.run([str(venv_python()), "-c", SITE], capture_output=True, text=True)
        if VENV not in folder.parents and site.returncode == 0:
            print(f"using the torch in {folder}", flush=True)
            (Path(site.stdout.strip()) / "found_torch.pth").write_text(f"{folder}\n")
            return True
    return False


FIND_TORCH = """
from importlib import metadata
def version(package):
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])
if version("torch") >= (2, 11) and version("torchvision") >= (0, 26):
    print(metadata.distribution("torch").locate_file("").resolve())
"""
SITE = "import sysconfig; print(sysconfig.get_paths()['purelib'])"


def fingerprint(python):
    """What the environment was made from: change it, and it is brought up to date."""
    version = subprocess.run([str(python), "--version"], capture_output=True, text=True).stdout
    seen = (ROOT / "pyproject.toml").read_bytes() + version.encode() + str(ROOT).encode()
    return hashlib.sha256(seen).hexdigest()


def venv_python():
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(python):
    try:
        return subprocess.run([str(python), "-c", ""], capture_output=True).returncode == 0
    except OSError:
        return False


def stop(message):
    print(f"\nstart.py: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
