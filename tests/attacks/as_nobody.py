"""Run attacks as an ordinary user: uid 65534, no group, no capability but one.

    python as_nobody.py FOLDERS ENGINE STEP CLASS...

Started as root. FOLDERS is what to import from, with os.pathsep between; each STEPth attack runs; a CLASS is one of
the corpus, or a collection's file. Writes what went wrong to standard output, as JSON.

The interpreter may lie in a folder that only root may enter. The process therefore keeps CAP_DAC_READ_SEARCH, which
opens files for reading and nothing else; workers give it up with all others before they run a plan.
"""

import asyncio
import ctypes
import json
import os
import sys
from pathlib import Path

NOBODY = 65534
CAP_DAC_READ_SEARCH = 2
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
VERSION_3 = 0x20080522


def become_nobody() -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def check(returned: int) -> None:
        if returned != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kept = 1 << CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable; then the high halves
    check(libc.capset(header, sets))
    # Changing its user has made the process secret even to itself, which the same user's own start is not.
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
    # Programs that it starts have the capability too: the interpreters of the workers.
    check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0))


def main() -> None:
    folders, engine, step, *kinds = sys.argv[1:]
    become_nobody()
    sys.path[:0] = folders.split(os.pathsep)
    from attacks.attacking import all_complaints
    from attacks.corpus import load, load_shared

    attacks = [
        attack for kind in kinds for attack in (load_shared(Path(kind)) if kind.endswith(".jsonl") else load(kind))
    ]
    chosen = attacks[:: int(step)]
    found = asyncio.run(all_complaints(engine, chosen))
    json.dump({"uid": os.getresuid(), "attacks": len(chosen), "wrong": found}, sys.stdout)


if __name__ == "__main__":
    main()
