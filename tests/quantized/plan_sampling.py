"""Plans from a model with random weights, steered so that few plans show a whole grammar.

A plan is derived from the grammar's rules from the top down. Where there is a choice, the model's own logits for the
next byte decide, with a bias: towards alternatives that were rarely chosen, or that lead to such; away from names that
nothing has and from operators behind literals, which a grammar cannot know better; and, when a plan is long, towards
its end. `Sampler.works` judges each statement as soon as it is written; one that fails is written anew.
"""

from __future__ import annotations

import ctypes
import math
import random
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import llama_cpp as _llama_cpp

from planact_quantized.grammar.gbnf import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from planact_quantized.grammar.gbnf_rules import Alternative, Characters

llama_cpp: Any = _llama_cpp  # its types are those of ctypes, and not of use

CONTEXT = 4096
FAR = 1_000
TRIES = 4
"""How often a statement that fails is written before the plan goes on without, or with it if it shows what is new."""

STATEMENTS = ("stmt-m0", "stmt-v0", "opening")
USUAL = ("for-m", "if-m", "for-v", "if-v")
"""Goals when nothing new is looked for, beside the arguments of calls: what plans are made of."""

LONG = 800
"""Characters after which a plan is steered to its end."""

_OPERATORS, _LITERALS = ".[( +-*/%@&|^<>=!", "'\"0123456789]})"

_BODIES = re.compile(r"(nested-)?(function|coroutine)-rest")
_PARAMETERS = ("plain-parameter", "defaults", "rest", "named", "collected")
_READS = re.compile(r"nonstring-|decorator|errors|format|name-constant|alternative|type-part|target-")


class ByteModel:
    """A model over bytes: what it would write next."""

    def __init__(self, file: Path) -> None:
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), parameters)
        assert self._model, file
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_threads, options.n_threads_batch = CONTEXT, 1, 1
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._tokens = _byte_tokens(vocabulary)

    def begin(self, prompt: str) -> None:
        """Forget everything but a prompt."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        self._fed: list[int] = []
        self.feed(prompt)

    @property
    def position(self) -> int:
        """How many tokens it holds."""
        return len(self._fed)

    def rewind(self, position: int) -> None:
        """Forget what was fed behind a position; the last token before it is evaluated again, for its logits."""
        last = self._fed[position - 1]
        del self._fed[position - 1 :]
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self._context), 0, position - 1, -1)
        self._evaluate([last])

    def feed(self, text: str) -> None:
        self._evaluate([self._tokens[byte] for byte in text.encode()])

    def _evaluate(self, tokens: list[int]) -> None:
        self._fed += tokens
        held = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(held, len(tokens))
        assert llama_cpp.llama_decode(self._context, batch) == 0

    def logits(self) -> list[float]:
        """Return the logit of every byte as the next one."""
        found = llama_cpp.llama_get_logits_ith(self._context, -1)
        return [found[token] for token in self._tokens]

    def close(self) -> None:
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)


@dataclass(frozen=True)
class Statement:
    """The end of a statement that is being written, and what was there before it."""

    rule: int
    parent: int
    need: int
    out: int
    position: int
    used: Counter[tuple[int, int]]


@dataclass
class Sampler:
    """Writes plans under one grammar and remembers what of it they used."""

    text: str
    reads: Sequence[str]
    """Names that have values wherever the plan runs."""

    attributes: Sequence[str]
    """What those values have."""

    works: Callable[[str], bool]
    """Whether a statement of a plan runs, behind those before it."""

    seed: int = 0
    used: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Alternatives, by rule and number."""

    def __post_init__(self) -> None:
        self._rules = parse(self.text)
        self._random = random.Random(self.seed)
        self._number = {name: index for index, name in enumerate(self._rules.names)}
        self._arguments = sorted(name for name in self.written_rules if re.fullmatch(r"a\d+", name))
        self._least = self._least_lengths()
        self._fresh = 0
        self._tries = 0

    @cached_property
    def written_rules(self) -> set[str]:
        """The rules of the grammar as it is written: those of groups and repetitions belong to theirs."""
        return {line.partition(" ::=")[0] for line in self.text.splitlines()}

    @property
    def unused_rules(self) -> set[str]:
        return self._unused_rules(self.used)

    def _unused_rules(self, used: Counter[tuple[int, int]]) -> set[str]:
        return self.written_rules - {self._rules.names[rule] for rule, _ in used}

    def write(self, model: ByteModel) -> str:
        """Return one plan, without the fence that closes it."""
        self._model = model
        self._out: list[str] = []
        self._hopeless = False
        self._parameters: list[list[str]] = []
        self._aim()
        model.begin("plan\n```python\n")
        self._derive()
        text = "".join(self._out)
        assert text.endswith("```")
        return text.removesuffix("```")

    # ---- one derivation ----------------------------------------------------------------------------------------------

    def _derive(self) -> None:
        """Take alternatives for rules and characters for classes until nothing is left to do."""
        # What is still to be derived, the next thing last: an element, the rule that it stands in, and whether it
        # leads to the goal.
        todo: list[tuple[Any, int, bool]] = [(self._rules.root, self._rules.root, True)]
        need = self._least[self._rules.root]
        while todo:
            element, parent, guided = todo.pop()
            if isinstance(element, Statement):
                again = self._judge(element, todo)
                need = need if again is None else again
                continue
            if isinstance(element, int) and self._rules.names[element] in STATEMENTS and not self._hopeless:
                begun = Statement(element, parent, need, len(self._out), self._model.position, self.used.copy())
                todo.append((begun, parent, False))
            if element is None:
                self._parameters.pop()
                continue
            if not isinstance(element, int):
                need -= 1
                self._emit(self._character(element))
                continue
            need -= self._least[element]
            if _BODIES.match(self._rules.names[element]):
                self._parameters.append([])
                todo.append((None, parent, False))
            forced = self._forced_name(element, parent, guided)
            if forced is not None:
                self._emit(forced)
                todo = self._guided(todo) if guided else todo
                continue
            alternative = self._alternative(element, need, guided)
            leader = self._leader(alternative) if guided else -1
            last = len(alternative) - 1
            todo += [(each, element, last - index == leader) for index, each in enumerate(reversed(alternative))]
            need += self._length(alternative)
            if element == self._goal:
                todo = self._guided(todo)

    def _judge(self, statement: Statement, todo: list[tuple[Any, int, bool]]) -> int | None:
        """Try a statement that is complete; where it fails, put another in its place and return what is needed then."""
        if self.works("".join(self._out[statement.out :])):
            self._tries = 0
            return None
        self._tries += 1
        if self._tries > TRIES and self.unused_rules < self._unused_rules(statement.used):
            # It shows what no other has: kept, and the plan ends here when it runs.
            self._tries, self._hopeless = 0, True
            return None
        del self._out[statement.out :]
        self._model.rewind(statement.position)
        self.used = statement.used
        self._aim()
        todo.append((statement.rule, statement.parent, self._tries < TRIES))
        return statement.need

    def _guided(self, todo: list[tuple[Any, int, bool]]) -> list[tuple[Any, int, bool]]:
        """Choose another goal, one that something still to be derived can come to."""
        for _ in range(20):
            self._aim()
            able = [i for i, (each, _, _) in enumerate(todo) if isinstance(each, int) and self._distance[each] < FAR]
            if able:
                chosen = self._random.choice([*able[:1], *able[-3:]])
                return [(each, parent, index == chosen) for index, (each, parent, _) in enumerate(todo)]
        return todo

    def _leader(self, alternative: Alternative) -> int:
        distances = [self._distance[each] if isinstance(each, int) else FAR for each in alternative]
        nearest = min(distances, default=FAR)
        return distances.index(nearest) if nearest < FAR else -1

    def _alternative(self, rule: int, need: int, guided: bool) -> Alternative:
        alternatives = self._rules.alternatives[rule]
        number = 0
        if len(alternatives) > 1:
            number = self._random.choices(range(len(alternatives)), self._weights(rule, need, guided))[0]
        self.used[rule, number] += 1
        return alternatives[number]

    def _weights(self, rule: int, need: int, guided: bool) -> list[float]:
        """Weigh the alternatives of a rule: by the model, by how rare they are, and by how long they make the plan."""
        if self._tries > TRIES:
            # Nothing that was tried here works: as short as can be, which is a variable.
            lengths = [self._length(each) for each in self._rules.alternatives[rule]]
            return [float(each == min(lengths)) for each in lengths]
        late = max(0, sum(map(len, self._out)) + need - LONG) / 60
        pressure = late + (0.01 if guided else 0.25)
        logits = self._model.logits()
        highest = max(logits)
        weights: list[float] = []
        for number, alternative in enumerate(self._rules.alternatives[rule]):
            first = self._first_characters(alternative)
            likely = math.exp(max((logits[byte] for byte in first), default=highest) - highest)
            rare = 1 / (1 + self.used[rule, number]) ** 0.5
            leads = 1000 if guided and self._distance_of(alternative) < self._distance[rule] else 1
            short = math.exp(-min(pressure * self._length(alternative), 600))
            weights.append(likely * rare * leads * short * self._sense(rule, alternative, first) + 1e-300)
        return weights

    def _sense(self, rule: int, alternative: Alternative, first: Sequence[int]) -> float:
        """Return how much sense an alternative makes to who has types in mind, compared to others."""
        if self._rules.names[rule] == "declared" and isinstance(alternative[0], tuple) and not self._enclosing:
            return 0.0
        if first and chr(first[0]) in _OPERATORS and "".join(self._out[-1:])[-1:] in _LITERALS:
            return 0.02
        names = {self._rules.names[each] for each in alternative if isinstance(each, int)}
        return 0.1 if "known" in names or (first and chr(first[0]) in "-+~" and not names) else 1.0

    def _character(self, characters: Characters) -> str:
        """Let the model choose a character: of ASCII where there is some, by its logits."""
        codes = [code for first, last in characters for code in range(first, min(last, 126) + 1)]
        if not codes:
            first, last = characters[0]
            return chr(self._random.randint(first, min(last, first + 500)))
        if len(codes) == 1:
            return chr(codes[0])
        if characters[-1][1] > 126 and self._random.random() < 0.03:
            return self._random.choice("äß€語🙂")
        logits = self._model.logits()
        return chr(self._random.choices(codes, [math.exp(min(logits[code], 50)) for code in codes])[0])

    def _emit(self, text: str) -> None:
        self._out.append(text)
        self._model.feed(text)

    # ---- names -------------------------------------------------------------------------------------------------------

    def _forced_name(self, rule: int, parent: int, guided: bool) -> str | None:
        """Return a name to write instead of deriving one: where it is read, one that exists; else an unused one."""
        name, place = self._rules.names[rule], self._rules.names[parent]
        if name.startswith("condition-") and place.startswith("while-") and not guided:
            # False: the loop ends.
            return self._random.choice(self.reads)
        if name == "attr" and place.startswith("dotted") and not guided:
            return self._random.choice(self.attributes)
        if name == "n" and place.startswith("declared"):
            return self._random.choice(self._enclosing)
        if name == "key" and not guided:
            return f'"k{self._unused()}"'
        if name == "n" and (_READS.match(place) or (place.startswith("refutable") and self._out[-1] != "*")):
            return self._random.choice(self.reads)
        repeats = name == "n" or (
            name == "attr" and not place.startswith(("dotted", "target", "errors", "type", "deco"))
        )
        if not repeats or (guided and place not in _PARAMETERS):
            return None
        fresh = f"v{self._unused()}"
        if place in _PARAMETERS:
            self._parameters[-1].append(fresh)
        return fresh

    @property
    def _enclosing(self) -> list[str]:
        """Names of the functions around the one that is being written: those that `nonlocal` may name."""
        return [name for names in self._parameters[:-1] for name in names]

    def _unused(self) -> int:
        self._fresh += 1
        return self._fresh

    # ---- what is known of rules --------------------------------------------------------------------------------------

    def _length(self, alternative: Alternative) -> int:
        return sum(self._least[each] if isinstance(each, int) else 1 for each in alternative)

    def _least_lengths(self) -> list[int]:
        """Return the length of the shortest text of every rule."""
        least = [10**6] * len(self._rules.names)
        changed = True
        while changed:
            changed = False
            for rule, alternatives in enumerate(self._rules.alternatives):
                shortest = min(sum(least[e] if isinstance(e, int) else 1 for e in each) for each in alternatives)
                if shortest < least[rule]:
                    least[rule], changed = shortest, True
        return least

    def _aim(self) -> None:
        """Choose a rule to show next, and work out how far every rule is from it."""
        unused = sorted(self.unused_rules)
        usual = USUAL if self._random.random() < 0.3 else self._arguments
        name = self._random.choice(unused if unused and self._random.random() < 0.7 else usual)
        self._goal = self._number[name]
        users: dict[int, list[int]] = {}
        for rule, alternatives in enumerate(self._rules.alternatives):
            for each in {e for alternative in alternatives for e in alternative if isinstance(e, int)}:
                users.setdefault(each, []).append(rule)
        self._distance = [FAR] * len(self._rules.names)
        self._distance[self._goal] = 0
        waiting = deque([self._goal])
        while waiting:
            rule = waiting.popleft()
            for user in users.get(rule, ()):
                if self._distance[user] == FAR:
                    self._distance[user] = self._distance[rule] + 1
                    waiting.append(user)

    def _distance_of(self, alternative: Alternative) -> int:
        return min((self._distance[each] for each in alternative if isinstance(each, int)), default=FAR)

    def _first_characters(self, alternative: Alternative) -> list[int]:
        """Return bytes that an alternative may begin with, those of its first element; none for what is empty."""
        element = alternative[0] if alternative else ()
        depth = 0
        while isinstance(element, int):
            first = next((each for each in self._rules.alternatives[element] if each), ())
            element, depth = (first[0] if first and depth < 40 else ()), depth + 1
        return [code for first, last in element for code in range(first, min(last, 126) + 1)]


def _byte_tokens(vocabulary: Any) -> list[int]:
    buffer = ctypes.create_string_buffer(16)
    found: dict[int, int] = {}
    for token in range(llama_cpp.llama_vocab_n_tokens(vocabulary)):
        if llama_cpp.llama_token_to_piece(vocabulary, token, buffer, len(buffer), 0, False) == 1:
            found[buffer.raw[0]] = token
    return [found[byte] for byte in range(256)]
