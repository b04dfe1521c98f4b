"""A stand-in for pip that compiles nothing: writes down what it was asked, and does what files in its folder say.

`fail` makes it fail, `hang` makes it start a compiler that never ends. Run as `python fake_pip.py FOLDER ARGUMENTS`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

folder, arguments = Path(sys.argv[1]), sys.argv[2:]
command = arguments[0]


def after(option: str) -> str:
    return arguments[arguments.index(option) + 1]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


with (folder / "asked").open("a") as asked:
    wanted = {name: os.environ.get(name, "") for name in ("CMAKE_ARGS", "CMAKE_BUILD_PARALLEL_LEVEL")}
    asked.write(json.dumps({"command": command, "arguments": arguments[1:], **wanted}) + "\n")

match command:
    case "download":
        target = Path(after("--dest")) / "llama_cpp_python-0.3.36.tar.gz"
        target.write_bytes((folder / "archive").read_bytes())
    case "wheel":
        say("  Installing build dependencies: started\n  *** Configuring CMake...")
        say("  *** Building project with Ninja...\n  [1/2] /usr/bin/c++ -o a.o\n  [2/2] c++ -o b.o")
        wheel = Path(after("--wheel-dir")) / "llama_cpp_python-0.3.36-py3-none-any.whl"
        wheel.write_bytes(b"half")
        if (folder / "hang").exists():
            compiler = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
            (folder / "pids.partial").write_text(f"{os.getpid()} {compiler.pid}")
            (folder / "pids.partial").rename(folder / "pids")
            compiler.wait()
        if (folder / "fail").exists():
            sys.exit("fatal error: no such header")
        wheel.write_bytes(b"whole")
        say("  *** Installing project into wheel...")
    case "install":
        (folder / "installed").write_text(arguments[-1])
