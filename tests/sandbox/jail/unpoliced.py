"""A worker in the real jail, less some layers, that runs any Python that it is sent, with ctypes at hand.

    python -I -S unpoliced.py LAYERS any|plans LAUNCH zygote|spawned SETTINGS

`plans` leaves the language policy in force. LAYERS are those of the jail to leave out, with commas between. LAUNCH is
the file that the product starts its own workers with: everything up to the last step is its own code, only what
serves inside of the jail is replaced.
"""

import ctypes
import importlib
import json
import mmap  # noqa: F401 - for the attacks
import os
import runpy
import socket  # noqa: F401
import struct
import sys
import traceback

CLONE_NEWUSER = 0x10000000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def syscall(number, *arguments):
    """Make a system call; return what it returned, or the name of its error."""
    ctypes.set_errno(0)
    held = [each if isinstance(each, bytes) or each is None else ctypes.c_long(each) for each in arguments]
    returned = libc.syscall(ctypes.c_long(number), *held)
    return returned if returned >= 0 else os.strerror(ctypes.get_errno())


def serve(fd_in, fd_out, *, layers):
    """Run whatever comes, in this module's namespace."""

    def read(size):
        data = b""
        while len(data) < size:
            chunk = os.read(fd_in, size - len(data))
            if not chunk:
                os._exit(0)
            data += chunk
        return data

    def send(**frame):
        body = json.dumps(frame).encode()
        data = struct.pack(">I", len(body)) + body
        while data:
            data = data[os.write(fd_out, data) :]

    send(type="ready", pid=os.getpid(), layers=layers)
    empty = {"variables": {}, "deleted": [], "functions": [], "truncated": {}}
    while True:
        (size,) = struct.unpack(">I", read(4))
        frame = json.loads(read(size))
        held = {**globals(), "result": None}
        try:
            exec(frame["source"], held)
            send(type="done", status="ok", errors=[], result=held["result"], **empty)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its answer
            message = "".join(traceback.format_exception_only(type(error), error)).strip()
            send(type="done", status="error", errors=[{"type": type(error).__name__, "message": message}], **empty)


def leave_out(layer):
    """Replace what puts a layer on by a failure, as if the system did not have it."""
    module, name = {
        "seccomp": ("linux.seccomp", "install"),
        "landlock": ("linux.landlock", "restrict"),
        "root": ("linux.namespaces", "empty_root"),
        "limits": ("rlimits", "limit"),
        "namespaces": ("linux.libc", "unshare"),
        "user_namespace": ("linux.libc", "unshare"),
    }[layer]
    place = sys.modules[f"planact_server.sandbox.jail.{module}"]
    original = getattr(place, name)

    def missing(*arguments, **__):
        if layer == "user_namespace" and arguments != (CLONE_NEWUSER,):
            return original(*arguments)
        raise OSError(*((1, "forbidden") if name == "unshare" else (38, "left out")))

    setattr(place, name, missing)


def main():
    layers, code, path, *arguments = sys.argv[1:]
    launch = runpy.run_path(path)
    original = importlib.import_module

    def import_module(name, package=None):
        module = original(name, package)
        if name.endswith((".zygote", ".spawned")):
            if code == "any":
                sys.modules["planact_server.sandbox.inside.worker"].serve = serve
            for layer in filter(None, layers.split(",")):
                leave_out(layer)
        return module

    importlib.import_module = import_module
    launch["main"](arguments)


if __name__ == "__main__":
    main()
