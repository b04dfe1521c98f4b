"""What `planner.py` measures: each part is a function that runs alone in a process and returns figures.

Ours and llama-cpp-python's own `create_chat_completion` get the same file, messages, threads and context. Seconds are
those of the CPU: they mean most with one thread. What our grammar takes is counted within the engine.
Whatever a part needs of llama.cpp is loaded inside of it, so that no part sees another one's memory or caches.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import ctypes
import itertools
import os
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planact_quantized import EngineSettings, GenerateRequest, Grammar, Message
from planact_quantized.grammar.plan_grammar import PlanFunction, PlanParameter, plan_grammar
from planact_quantized.prompt import FENCE_CLOSE, system_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONTEXT = 8192
SHORT = {"tools": 8, "context": 2048}
"""For what does not depend on the prompt: a short one, so that the run stays short."""

OBJECTS = ("event", "note", "task", "contact", "file", "message", "order", "invoice", "ticket", "booking")
VERBS = ("list", "find", "create", "update")
TASKS = ("Move my meeting with Ada to Friday.", "Which invoices of May are still open?")

PLANS = (
    'events = find_event(name="Ada", limit=5)\nmoved = update_event(name=events[0]["name"], day="2025-06-13")\n',
    'invoices = list_invoice(name="Ada", day="2025-05-01")\nopen_ones = [i for i in invoices if not i["paid"]]\n',
    'for order in list_order(name="Ada", limit=10):\n    if order["late"]:\n        create_message(order["buyer"])\n',
)
"""Plans as models write them, for those who have no others."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every part gets."""

    model: Path
    folder: Path
    """For what has to outlast a process."""

    threads: int
    tokens: int
    """How many are written where speed is measured."""

    repeats: int


def clock() -> float:
    """Return the CPU seconds of this process and its children: what else runs on the machine hardly shows in them."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def functions() -> list[PlanFunction]:
    parameters = (
        PlanParameter(name="name"),
        PlanParameter(name="day", required=False),
        PlanParameter(name="limit", required=False),
    )
    return [PlanFunction(name=f"{verb}_{each}", parameters=parameters) for each in OBJECTS for verb in VERBS]


PLAN = plan_grammar(functions()).text
"""The grammar of plans over 40 tools. Here it holds from the first token on, so that every token is measured."""

ANYTHING = "root ::= [^\\x00]*"


def messages(task: str, *, tools: int = 40) -> list[Message]:
    """Return the prompt for a task with so many tools."""
    stubs = "\n".join(
        f"def {each.name}(name: str, day: str = None, limit: int = 10) -> list:\n"
        f'    """{each.name.replace("_", " ").capitalize()}, as the user asked for it.\n\n'
        "    :param name: Whose it is, as it is written in the address book.\n"
        "    :param day: The day that it is about, as YYYY-MM-DD; any day when it is left out.\n"
        "    :param limit: How many to return at most, the newest ones first.\n"
        '    :return: A list of dicts with the keys name, day, and whatever else is known."""\n    pass'
        for each in functions()[:tools]
    )
    return [Message(role="system", content=system_prompt(stubs)), Message(role="user", content=task)]


def our_model(setup: Setup, *, context: int = CONTEXT, **options: Any) -> Any:
    from planact_quantized.llama.loaded_model import LoadedModel

    settings = EngineSettings(
        model=setup.model, context_tokens=context, threads=setup.threads, **{"drafting": "off", **options}
    )
    return LoadedModel.load(settings, on_progress=lambda _: True)


def our_text(model: Any, request: GenerateRequest) -> Any:
    from planact_quantized.llama.loaded_model import Control

    return model.generate(request, on_text=lambda *_: None, control=Control())


def their_model(setup: Setup, *, context: int = CONTEXT, **options: Any) -> Any:
    from llama_cpp import Llama

    options = {"verbose": False, **options}
    return Llama(
        str(setup.model), n_ctx=context, n_batch=512, n_threads=setup.threads, n_threads_batch=setup.threads, **options
    )


def their_text(model: Any, said: Sequence[Message], **options: Any) -> tuple[float, int]:
    """Write, and return the seconds to the first token, and how many tokens the model holds now."""
    turns = [{"role": each.role, "content": each.content} for each in said]
    started, first = clock(), 0.0
    for _ in model.create_chat_completion(turns, stream=True, **{"temperature": 0.0, **options}):
        first = first or clock() - started
    return first, model.n_tokens


def our_first_token(setup: Setup, task: int = 0) -> dict[str, float]:
    """The first token in a process that has just loaded the model; a folder keeps what was evaluated."""
    model = our_model(setup, prefixes=setup.folder / "prefixes")
    started = clock()
    usage = our_text(model, GenerateRequest(messages=messages(TASKS[task]), max_tokens=1)).usage
    return {
        "seconds": clock() - started,
        "evaluated_tokens": usage.evaluated_tokens,
        "prompt_tokens": usage.prompt_tokens,
    }


def our_second_token(setup: Setup) -> dict[str, float]:
    """The same tools and another task, in a new process."""
    return our_first_token(setup, 1)


def their_first_token(setup: Setup) -> dict[str, float]:
    """The first token of a first request, then of one with another task to the same object."""
    import llama_cpp

    model = their_model(setup)
    found: dict[str, float] = {}
    for name, task in zip(("", "again_"), TASKS, strict=True):
        llama_cpp.llama_perf_context_reset(model.ctx)
        first, _ = their_text(model, messages(task), max_tokens=1)
        found[f"{name}seconds"] = first
        found[f"{name}evaluated_tokens"] = llama_cpp.llama_perf_context(model.ctx).n_p_eval
    return found


def our_grammar(setup: Setup) -> dict[str, float]:
    """What holding to a grammar costs for each token, greedily and by chance.

    Random weights at a temperature propose a forbidden token most of the time and leave all others about equally
    likely: the dearest case. `anything` is a grammar that forbids nothing. A trained model lies between.
    """
    from planact_quantized.llama import sampling

    sampling.clock = time.thread_time
    found: dict[str, float] = {}
    for name, text, temperature in (("plan", PLAN, 0.0), ("chance", PLAN, 1.0), ("anything", ANYTHING, 0.0)):
        model = our_model(setup, context=SHORT["context"], forced_tokens=False)
        usages = [
            our_text(
                model,
                GenerateRequest(
                    messages=messages(f"{seed}", tools=SHORT["tools"]),
                    max_tokens=setup.tokens,
                    grammar=Grammar(text=text),
                    temperature=temperature,
                    seed=seed,
                ),
            ).usage
            for seed in range(setup.repeats + 1)
        ][1:]  # the first one reads the grammar
        generated = sum(usage.generated_tokens for usage in usages)
        found[f"{name}_ms"] = sum(usage.grammar_seconds for usage in usages) / generated * 1000
        found[f"{name}_refused"] = sum(usage.rejected_tokens for usage in usages) / generated
        model.close()
    return found


def their_grammar(setup: Setup) -> dict[str, float]:
    """The median time from one token to the next with the grammar, less the same without one.

    They do not count it themselves; differences below a millisecond are noise.
    """
    from llama_cpp import LlamaGrammar

    model = their_model(setup, context=SHORT["context"])
    few = max(setup.tokens // 4, 8)
    bare = _interval(model, few)
    return {
        f"{name}_ms": (_interval(model, few, grammar=LlamaGrammar.from_string(text, verbose=False)) - bare) * 1000
        for name, text in (("plan", PLAN), ("anything", ANYTHING))
    }


def _interval(model: Any, tokens: int, **options: Any) -> float:
    said = [{"role": each.role, "content": each.content} for each in messages("0", tools=SHORT["tools"])]
    chunks = model.create_chat_completion(said, stream=True, max_tokens=tokens, temperature=0.0, **options)
    seen = [clock() for _ in chunks]
    return statistics.median(after - before for before, after in itertools.pairwise(seen[1:]))


def our_memory(setup: Setup) -> dict[str, float]:
    extras = our_model(setup).info.extras
    return {"compute_mib": float(extras["compute buffer"].split()[0])}


def their_memory(setup: Setup) -> dict[str, float]:
    """What llama.cpp says about the buffer; it goes to the process's standard error."""
    with tempfile.TemporaryFile() as log:
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            their_model(setup, verbose=True)
        finally:
            os.dup2(kept, 2)
        log.seek(0)
        said = log.read().decode(errors="replace")
    sizes = [float(each) for each in re.findall(r"compute buffer size\s*=\s*([\d.]+) MiB", said)]
    return {"compute_mib": sum(sizes)}


def our_candidates(setup: Setup) -> dict[str, float]:
    """Four texts over one prompt, at once and one after the other, in tokens a second."""
    model = our_model(setup, context=SHORT["context"])

    def write(candidates: int, seed: int) -> int:
        request = GenerateRequest(
            messages=messages(TASKS[0], tools=SHORT["tools"]),
            max_tokens=setup.tokens,
            candidates=candidates,
            temperature=0.8,
            seed=seed,
        )
        return our_text(model, request).usage.generated_tokens

    write(1, 0)
    return {
        "at_once": _speed(lambda: write(4, 1), setup.repeats),
        "in_turn": _speed(lambda: sum(write(1, seed) for seed in range(4)), setup.repeats),
    }


def their_candidates(setup: Setup) -> dict[str, float]:
    model = their_model(setup, context=SHORT["context"])
    said = messages(TASKS[0], tools=SHORT["tools"])
    _, prompt = their_text(model, said, max_tokens=1)

    def write(seed: int) -> int:
        return their_text(model, said, max_tokens=setup.tokens, temperature=0.8, seed=seed)[1] - prompt

    return {"in_turn": _speed(lambda: sum(write(seed) for seed in range(4)), setup.repeats)}


def our_drafting(setup: Setup) -> dict[str, float]:
    """Guesses from the prompt, in tokens a second. The text of random weights goes in circles: guesses are easy."""
    request = GenerateRequest(messages=messages(TASKS[0], tools=SHORT["tools"]), max_tokens=setup.tokens)
    found: dict[str, float] = {}
    for mode in ("off", "on"):
        model = our_model(setup, context=SHORT["context"], drafting=mode)
        our_text(model, request)
        found[mode] = _speed(lambda model=model: our_text(model, request).usage.generated_tokens, setup.repeats)
        model.close()
    return found


def their_drafting(setup: Setup) -> dict[str, float]:
    """The same with their own guesses. Those need `logits_all`, and so the logits of a whole context in memory."""
    from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

    said = messages(TASKS[0], tools=SHORT["tools"])
    found: dict[str, float] = {}
    for mode, draft in (("off", None), ("on", LlamaPromptLookupDecoding(num_pred_tokens=10))):
        model = their_model(setup, context=SHORT["context"], draft_model=draft, logits_all=draft is not None)
        _, prompt = their_text(model, said, max_tokens=1)

        def write(model: Any = model, prompt: int = prompt) -> int:
            return their_text(model, said, max_tokens=setup.tokens)[1] - prompt

        found[mode] = _speed(write, setup.repeats)
        model.close()
    return found


def our_forced(setup: Setup) -> dict[str, float]:
    """What of a plan the grammar leaves no choice about, and how many tokens come in a step with guesses.

    The plans are those for DPAB, written by hand, where they lie beside the checkout, else PLANS; and some by chance.
    """
    import plan_savings

    vocabulary = plan_savings.load_vocabulary(setup.model)
    total = plan_savings.of_dpab(vocabulary) if plan_savings.SHARED.is_dir() else _of_plans(vocabulary)
    return {
        "share": total.forced_share,
        "characters": total.forced_character_share,
        "tokens_a_step": total.tokens_a_step,
        "by_chance": _forced_by_chance(setup),
    }


def _of_plans(vocabulary: Any) -> Any:
    import plan_savings

    from planact_quantized.grammar.automaton import Automaton
    from planact_quantized.grammar.gbnf import parse

    automaton = Automaton(parse(PLAN))
    prompt = "\n".join(each.content for each in messages(TASKS[0]))
    total = plan_savings.Savings()
    for plan in PLANS:
        total += plan_savings.measure(automaton, vocabulary, prompt=prompt, text=f"{plan}{FENCE_CLOSE}")
    return total


def _forced_by_chance(setup: Setup) -> float:
    """Return the share of forced tokens in what random weights write."""
    model = our_model(setup, context=SHORT["context"])
    said = messages(TASKS[0], tools=SHORT["tools"])
    options = {"max_tokens": setup.tokens, "grammar": Grammar(text=PLAN), "temperature": 1.0}
    written = [
        candidate
        for seed in range(2 * setup.repeats)
        for candidate in our_text(model, GenerateRequest(messages=said, seed=seed, **options)).candidates
    ]
    return sum(each.forced_tokens for each in written) / sum(each.tokens for each in written)


def our_quantize(setup: Setup) -> dict[str, float]:
    """Megabytes of the source a second; the process that does it is started and the result is checked."""
    from planact_quantized.models.quantize import plan_quantization, quantize

    plan = plan_quantization(setup.model, "Q4_K_M")
    with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
        started = clock()
        quantize(plan, Path(folder) / "out.gguf", threads=setup.threads)
        return {"mb_per_second": setup.model.stat().st_size / 1e6 / (clock() - started)}


def their_quantize(setup: Setup) -> dict[str, float]:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    parameters.nthread = setup.threads
    with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
        target = os.fsencode(Path(folder) / "out.gguf")
        started = clock()
        code = llama_cpp.llama_model_quantize(os.fsencode(setup.model), target, ctypes.byref(parameters))
        if code:
            raise SystemExit(f"llama.cpp cannot quantize: {code}")
        return {"mb_per_second": setup.model.stat().st_size / 1e6 / (clock() - started)}


def _speed(write: Callable[[], int], repeats: int) -> float:
    return statistics.median(_speeds(write, repeats))


def _speeds(write: Callable[[], int], repeats: int) -> Iterator[float]:
    for _ in range(repeats):
        started = clock()
        tokens = write()
        yield tokens / (clock() - started)


PARTS: dict[str, Callable[[Setup], dict[str, float]]] = {
    each.__name__: each
    for each in (
        our_first_token,
        our_second_token,
        their_first_token,
        our_grammar,
        their_grammar,
        our_memory,
        their_memory,
        our_candidates,
        their_candidates,
        our_drafting,
        their_drafting,
        our_forced,
        our_quantize,
        their_quantize,
    )
}
