"""What of a known plan needs no sampling, and no step of its own: counted, not timed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from planact_quantized.grammar.automaton import Automaton  # noqa: E402 - the tests' helpers are no package of their own
from planact_quantized.grammar.gbnf import parse  # noqa: E402
from planact_quantized.grammar.plan_grammar import plan_grammar  # noqa: E402
from planact_quantized.llama.drafting import DRAFTS, Lookup  # noqa: E402
from planact_quantized.llama.forcing import Forcing  # noqa: E402
from planact_quantized.llama.native import library  # noqa: E402
from planact_quantized.llama.vocabulary import Vocabulary  # noqa: E402
from planact_quantized.prompt import FENCE_CLOSE, system_prompt  # noqa: E402
from planact_server.planner.stubs import function_stubs, plan_functions  # noqa: E402
from quantized.gold_plans import dpab_plans, dpab_tasks  # noqa: E402, TID251

if TYPE_CHECKING:
    from planact_quantized.grammar.automaton import State

SHARED = CHECKOUT.parent / "shared"
"""Recorded data beside the checkout; not everybody has it."""

QWEN = "models/ggml-vocab-qwen2.gguf"


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Sums over plans."""

    characters: int = 0
    forced_characters: int = 0
    """Those that the grammar leaves no choice about."""

    tokens: int = 0
    forced_tokens: int = 0
    """Those that are appended without asking the model: fewer, for the last of a run could often be a longer one."""

    guessed_tokens: int = 0
    """Those that come from the prompt or the plan itself, evaluated together with the token before them."""

    drafts: int = 0

    def __add__(self, other: Savings) -> Savings:
        return Savings(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def forced_share(self) -> float:
        return self.forced_tokens / self.tokens

    @property
    def forced_character_share(self) -> float:
        return self.forced_characters / self.characters

    @property
    def guessed_share(self) -> float:
        """Return what is guessed of the tokens that are not forced."""
        return self.guessed_tokens / (self.tokens - self.forced_tokens)

    @property
    def tokens_a_step(self) -> float:
        return self.tokens / (self.tokens - self.forced_tokens - self.guessed_tokens)

    def __str__(self) -> str:
        return (
            f"forced by the grammar: {self.forced_character_share:.1%} of {self.characters:,} characters, "
            f"{self.forced_share:.1%} of {self.tokens:,} tokens\n"
            f"guessed from the prompt: {self.guessed_share:.1%} of the other tokens, "
            f"{self.guessed_tokens / self.drafts:.2f} right in a draft\n"
            f"both: {self.tokens_a_step:.2f} tokens a step"
        )


def load_vocabulary(file: Path) -> Vocabulary:
    """Read a vocabulary without a model. Raises BackendError where llama.cpp is missing."""
    api: Any = library().api
    parameters = api.llama_model_default_params()
    parameters.vocab_only = True
    # Never freed: the process ends with it.
    return Vocabulary(api, api.llama_model_load_from_file(str(file).encode(), parameters))


def of_dpab(vocabulary: Vocabulary) -> Savings:
    """Sum up the plans for DPAB that were written by hand, each with its own tools. They lie in SHARED."""
    total = Savings()
    for plan, task in zip(dpab_plans(SHARED), dpab_tasks(SHARED), strict=True):
        automaton = Automaton(parse(plan_grammar(plan_functions(plan.catalog)).text))
        prompt = f"{system_prompt(function_stubs(plan.catalog))}\n{task}\n"
        total += measure(automaton, vocabulary, prompt=prompt, text=f"{plan.source}{FENCE_CLOSE}")
    return total


def measure(automaton: Automaton, vocabulary: Vocabulary, *, prompt: str, text: str) -> Savings:
    """Walk along a plan as the engine would if the model wrote just this."""
    tokens, forced = _forced(automaton, vocabulary, text)
    free = [token for token, is_forced in zip(tokens, forced, strict=True) if not is_forced]
    guessed, drafts = _guessed(automaton.start, vocabulary, prompt, tokens, forced)
    return Savings(
        characters=len(text),
        forced_characters=_forced_characters(automaton.start, text),
        tokens=len(tokens),
        forced_tokens=len(tokens) - len(free),
        guessed_tokens=guessed,
        drafts=drafts,
    )


def _forced_characters(state: State | None, text: str) -> int:
    count = 0
    for character in text:
        if state is None:
            raise SystemExit(f"The grammar does not admit {text!r}.")
        count += state.only() is not None
        state = state.after(character)
    return count


def _forced(automaton: Automaton, vocabulary: Vocabulary, text: str) -> tuple[list[int], list[bool]]:
    """Return the tokens of a text, and which of them are forced."""
    forcing = Forcing(automaton, vocabulary)
    constraint: Any = automaton.start
    tokens: list[int] = []
    forced: list[bool] = []
    rest = text.encode()
    while rest:
        run = [token for token, _ in forcing.tokens(constraint)]
        for token in run or vocabulary.tokenize(rest.decode())[:1]:
            piece = vocabulary.pieces[token]
            if not rest.startswith(piece):
                raise SystemExit(f"The grammar forces {piece!r} where a plan has {rest[:20]!r}.")
            constraint = constraint.step(piece)
            rest = rest[len(piece) :]
            tokens.append(token)
            forced.append(bool(run))
    return tokens, forced


def _guessed(start: Any, vocabulary: Vocabulary, prompt: str, tokens: list[int], forced: list[bool]) -> tuple[int, int]:
    """Return how many tokens that are not forced are guessed, in how many drafts."""
    lookup = Lookup(vocabulary.tokenize(prompt))
    constraint, at, guessed, drafts = start, 0, 0, 0
    while at < len(tokens):
        draft = _allowed(constraint, vocabulary, lookup.draft(DRAFTS[-1]))
        drafts += bool(draft)
        right = 0
        while right < len(draft) and tokens[at + right : at + right + 1] == draft[right : right + 1]:
            right += 1
        guessed += forced[at : at + right].count(False)
        # Behind the right ones comes the one that the step itself decides, and what is forced behind that.
        end = min(at + right + 1, len(tokens))
        while end < len(tokens) and forced[end]:
            end += 1
        for token in tokens[at:end]:
            lookup.add(token)
            constraint = constraint.step(vocabulary.pieces[token])
        at = end
    return guessed, drafts


def _allowed(constraint: Any, vocabulary: Vocabulary, draft: list[int]) -> list[int]:
    for count, token in enumerate(draft):
        piece = vocabulary.pieces[token]
        constraint = constraint.step(piece) if piece else None
        if constraint is None:
            return draft[:count]
    return draft
