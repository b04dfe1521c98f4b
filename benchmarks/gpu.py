"""The engine on a device: layers that really went there, speed against the CPU, cancelling, forced tokens, drafting.

    python benchmarks/gpu.py [--device gpu] [--quick] [--out FILE]

The weights are random and the vocabulary is Qwen's own, so that speeds are those of the shape, and shares of drafted
tokens say little about a trained model. Exit code 1 when a layer was left on the CPU or cancelling did not work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import sys
import tempfile
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planact_quantized import ALL_LAYERS, BackendError, Engine, EngineSettings, GenerateRequest, Grammar, Message
from planact_quantized.building.llama_source import extract
from planact_quantized.fitting.devices import CPU, read_machine
from planact_quantized.fitting.fit import plan_fit
from planact_quantized.fitting.footprint import footprint_of_file
from planact_quantized.fitting.ladder import Wanted
from planact_quantized.fitting.speeds import measure
from planact_quantized.models.gguf import read_header

ROOT = Path(__file__).parents[1]
QWEN = "models/ggml-vocab-qwen2.gguf"
SHAPE = {"width": 1024, "layers": 16, "feed_forward": 2816, "heads": 16, "kv_heads": 4, "context": 8192}
QUICK_SHAPE = {"width": 128, "layers": 2, "feed_forward": 256, "heads": 4, "kv_heads": 2, "context": 4096}
PLAN = Grammar(
    text=r"""root ::= line{12} "end"
line ::= "rows = search_documents(query=\"" [a-z]{4} "\", limit=" [1-9] ", newest_first=" flag ")\n"
flag ::= "True" | "False"
"""
)
LETTERS = Grammar(text="root ::= [a-z ]{1000}\n")
"""Keeps weights at random writing; every token is sampled."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="gpu", help="gpu, cpu, or a device's name")
    parser.add_argument("--quick", action="store_true", help="a tiny model with a vocabulary of bytes")
    parser.add_argument("--out", type=Path, help="where the figures go; benchmarks/results/gpu-DEVICE.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = asyncio.run(run(make_model(Path(folder), quick=given.quick), given.device))
        except BackendError as error:
            sys.exit(error.message)
    figures["command"] = f"benchmarks/gpu.sh --device {given.device}{' --quick' if given.quick else ''}"
    device = re.sub(r"\W+", "-", str(figures["device"])).strip("-").lower()
    out = given.out or ROOT / "benchmarks" / "results" / f"gpu-{device}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures, indent=2) + "\n"
    out.write_text(text, encoding="utf-8")
    print(text, end="")
    print(f"Written to {out}", file=sys.stderr)
    return 0 if figures["fully_offloaded"] is not False and figures["cancel"]["mid_prefill"] else 1


def make_model(folder: Path, *, quick: bool) -> Path:
    """Make a model with random weights."""
    sys.path.insert(0, str(ROOT / "tests" / "quantized"))
    from tiny_gguf import make_gguf  # noqa: PLC0415 - the tests' own, found through the line above

    if quick:
        return make_gguf(folder / "random-quick.gguf", **QUICK_SHAPE)
    return make_gguf(folder / "random-f16.gguf", vocabulary=extract(QWEN), **SHAPE)


async def run(model: Path, device: str) -> dict[str, Any]:
    """Take every measurement; the device first, the CPU for comparison."""
    machine = read_machine()
    footprint = footprint_of_file(read_header(model))
    wanted = Wanted(device=device, gpu_layers=None if device == CPU else ALL_LAYERS)
    settings = plan_fit(footprint, machine, wanted).settings(model)
    say(f"{settings.device}: {footprint.weight_bytes / 2**20:.0f} MiB of weights")
    speeds = {"device": await speed(settings)}
    if settings.device != CPU:
        on_cpu = plan_fit(footprint, machine, replace(wanted, device=CPU, gpu_layers=None)).settings(model)
        speeds["cpu"] = await speed(on_cpu)
    used = speeds["device"]
    return {
        "device": used["device"],
        # None: a dry run on the CPU, where there is nothing to offload to.
        "fully_offloaded": None if settings.device == CPU else used["offloaded_layers"] == used["layers"],
        "machine": {
            "host": asdict(machine.host) | {"instruction_sets": len(machine.host.instruction_sets)},
            "devices": [asdict(each) for each in machine.devices],
            "platform": platform.platform(),
        },
        "llama_cpp": machine.llama_cpp,
        "system_info": machine.system_info,
        "model": {"weight_bytes": footprint.weight_bytes, "layers": footprint.layers, "width": footprint.width},
        "speeds": speeds,
        "cancel": await cancelling(settings, used["prompt"]),
        "plans": {
            "forced on": await plans(settings, forced_tokens=True, drafting="off"),
            "forced off": await plans(settings, forced_tokens=False, drafting="off"),
            "forced off, drafting on": await plans(settings, forced_tokens=False, drafting="on"),
        },
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


async def speed(settings: EngineSettings) -> dict[str, Any]:
    """Load and measure, and say how many layers went where."""
    engine = Engine(settings)
    try:
        began = time.monotonic()
        await engine.start()
        info, found = await measure(engine, load_seconds=time.monotonic() - began, grammar=LETTERS)
    finally:
        await engine.aclose()
    layers = f"{found.offloaded_layers} of {found.layers} layers there"
    say(f"{info.device}, {layers}: prompt {found.prompt}, text {found.text} tokens/s")
    return asdict(found) | {"extras": info.extras}


async def cancelling(settings: EngineSettings, prompt_speed: float) -> dict[str, Any]:
    """Cancel in the middle of a long prompt; the same child has to answer the next request."""
    engine = Engine(settings)
    try:
        await engine.start()
        before = engine.status.pid
        messages = await long_prompt(engine, settings.context_tokens)
        tokens = await engine.count_tokens(messages)
        expected = tokens / max(prompt_speed, 1.0)
        began = time.monotonic()
        ended = True
        try:
            async with asyncio.timeout(expected * 0.3):
                await engine.generate(GenerateRequest(messages=messages, max_tokens=1))
        except TimeoutError:
            ended = False
        cancelled = time.monotonic()
        await engine.generate(GenerateRequest(messages=[Message(role="user", content="a")], max_tokens=1))
        answered = time.monotonic()
        return {
            "prompt_tokens": tokens,
            "expected_prefill_seconds": round(expected, 3),
            "mid_prefill": not ended,
            "seconds_until_cancelled": round(cancelled - began - expected * 0.3, 3),
            "seconds_until_next_answer": round(answered - cancelled, 3),
            "same_child": engine.status.pid == before,
        }
    finally:
        await engine.aclose()


async def long_prompt(engine: Engine, context: int) -> list[Message]:
    """Return messages that fill most of the context."""
    words = 64
    while True:
        messages = [
            Message(role="system", content="a stable beginning"),
            Message(role="user", content=" ".join(f"{number:x}" for number in range(words))),
        ]
        if await engine.count_tokens(messages) > context * 0.6:
            return messages
        words = int(words * 1.4)


async def plans(settings: EngineSettings, **changes: Any) -> dict[str, Any]:
    """Write under a grammar that leaves little choice."""
    engine = Engine(replace(settings, **changes))
    request = GenerateRequest(
        messages=[
            Message(role="system", content='rows = search_documents(query="abcd", limit=3, newest_first=True)\n' * 4),
            Message(role="user", content="Search."),
        ],
        grammar=PLAN,
        max_tokens=1500,
    )
    try:
        await engine.generate(replace(request, max_tokens=8))
        done = await engine.generate(request)
    finally:
        await engine.aclose()
    candidate, usage = done.candidates[0], done.usage
    seconds = usage.seconds - usage.seconds_to_first_token
    found = {
        "tokens": candidate.tokens,
        "lines": candidate.text.count("\n"),
        "forced_tokens": candidate.forced_tokens,
        "drafted_tokens": candidate.drafted_tokens,
        "seconds": round(usage.seconds, 3),
        "tokens_per_second": round(candidate.tokens / seconds, 1) if seconds > 0 else 0.0,
        "grammar_seconds": round(usage.grammar_seconds, 4),
    }
    say(f"{changes}: {found['tokens_per_second']} tokens/s, {found['forced_tokens']} of {found['tokens']} forced")
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
