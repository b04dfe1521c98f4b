"""What a jailed plan costs, beside others who run a model's code: same plans, same machine, one run.

    python benchmarks/sandbox.py [--peers] [--json]

The others are pydantic-monty, smolagents' LocalPythonExecutor and a bare `exec` in a Python process of its own. They
are no alternatives to each other: Monty is a subset of Python in processes without a jail, LocalPythonExecutor says
itself that it protects nobody, and the bare process is the floor. `--peers` installs the first two into an environment
of their own in the user's cache folder; without them the rest is measured. Each subject has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PEERS = ("pydantic-monty==1.4.0", "smolagents==1.26.0")
COLD_STARTS = 7

AIMS = {
    "new session": "≤ 5 ms",
    "new session, from the pool": "≤ 5 ms",
    "trivial plan": "≤ 0.2 ms",
    "tool call, of 100": "≤ 0.1 ms",
    "private memory of a session, MB": "≤ 6 MB",
    "200 sessions at once, MB": "≤ 1,500 MB",
}


def peers_python() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "planact" / "benchmark-peers" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install_peers(python: Path) -> None:
    venv.create(python.parents[1], with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)


def measured(name: str, python: str) -> dict[str, Any]:
    """Return the figures of one subject."""
    done = subprocess.run([python, HERE / "sandbox_measures.py", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return {"cold start": cold_start(name, python)} | json.loads(done.stdout.splitlines()[-1])


def cold_start(name: str, python: str) -> dict[str, float]:
    """Time from nothing to the end of a process that has answered 1 + 1."""
    times: list[float] = []
    before = _children_cpu()
    for _ in range(COLD_STARTS):
        begun = time.perf_counter()
        subprocess.run([python, HERE / "sandbox_subjects.py", name], check=True)
        times.append((time.perf_counter() - begun) * 1000)
    return {"ms": statistics.median(times), "cpu_ms": (_children_cpu() - before) / COLD_STARTS * 1000}


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shown(figure: Any) -> str:
    match figure:
        case {"ms": ms, "cpu_ms": cpu_ms}:
            return f"{_rounded(ms)} ({_rounded(cpu_ms)})"
        case int() | float():
            return _rounded(figure)
        case _:
            return "-"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table_of(figures: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, title="Milliseconds, CPU time in brackets", title_justify="left")
    for column in ("", *figures, "aim"):
        table.add_column(column, no_wrap=True)
    rows = dict.fromkeys(row for subject in figures.values() for row in subject)
    for row in rows:
        table.add_row(row, *(shown(subject.get(row)) for subject in figures.values()), AIMS.get(row, ""))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="install the peers into the cache folder first")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    console = Console(stderr=True)
    peers = peers_python()
    if options.peers and not peers.exists():
        install_peers(peers)
    pythons = {"planact": sys.executable, "bare": sys.executable}
    if peers.exists():
        pythons |= {"monty": str(peers), "smolagents": str(peers)}
    else:
        console.print("The peers are not installed; --peers does it.")
    figures = {name: measured(name, python) for name, python in pythons.items()}
    if "private memory of a session, MB" not in figures["planact"]:
        console.print("Jailed workers cannot be looked into by their own user: their memory is shown to root only.")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    if options.json:
        facts = {"machine": machine, "load_average": round(load, 1), "peers": PEERS, "figures": _short(figures)}
        print(json.dumps(facts, indent=2))
        return
    console = Console()
    console.print(table_of(figures))
    console.print(f"{machine}, load average {load:.1f}")


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
