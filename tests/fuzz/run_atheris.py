"""Look for plans that get at Python's machinery, guided by the code that they reach in the sandbox.

    python tests/fuzz/run_atheris.py --seconds 600 --folder corpus

needs atheris, which has wheels for Linux (`pip install atheris`). It ends with status 0 when the time is over, and with
77 and the plan when it has found one. Inputs that reach something new are kept in the folder; those of
`test_hostile_plans` mean the same plans. What is found becomes a test of its own in `tests/sandbox/inside`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    arguments = _parser().parse_args()
    try:
        import atheris
    except ImportError:
        print("This needs atheris: pip install atheris", file=sys.stderr)  # noqa: T201
        return 2
    with atheris.instrument_imports(include=["planact_server.sandbox.inside"]):
        from fuzz.grammar import Chooser, Grammar
        from fuzz.plans import Plans
        from fuzz.planted import PLANTED, plant
        from fuzz.room import Room

    made: list[Any] = []

    def one(data: bytes) -> None:
        if not made:  # now: libFuzzer has set its signal handlers, and a room's own must stay
            room = Room()
            names = list(room.exposed())
            if arguments.plant:
                plant(room)
                names = list(PLANTED)
            made.extend((Plans(room), Grammar(names)))
        plans, grammar = made
        source = grammar.plan(Chooser(data))
        findings = plans.run(source)
        if findings:
            raise AssertionError("\n".join((*findings, source)))

    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={arguments.seconds}",
        f"-artifact_prefix={folder}/",
        "-max_len=600",
        "-len_control=0",
        "-timeout=60",
        "-rss_limit_mb=3000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], one)
    atheris.Fuzz()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="stop after so long")
    parser.add_argument("--folder", required=True, help="where inputs are kept that reach something new")
    parser.add_argument("--plant", action="store_true", help="put leaks in, to see that they are found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
