"""Real models of a few kilobytes, loaded into the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planact_quantized import EngineSettings, GenerateRequest, Message
from planact_quantized.llama.loaded_model import Control, LoadedModel

if TYPE_CHECKING:
    from pathlib import Path

    from planact_quantized import Completion


def load_model(model: Path, **settings: Any) -> LoadedModel:
    """Load with one thread, no drafting and no forced tokens unless told otherwise."""
    given = {"context_tokens": 1024, "threads": 1, "drafting": "off", "forced_tokens": False, **settings}
    return LoadedModel.load(EngineSettings(model=model, **given), on_progress=lambda _: True)


def request(text: str = "hello", *, system: str = "You write. " * 8, **options: Any) -> GenerateRequest:
    given = {"max_tokens": 40, **options}
    return GenerateRequest(
        messages=(Message(role="system", content=system), Message(role="user", content=text)), **given
    )


def write(model: LoadedModel, asked: GenerateRequest, *, control: Control | None = None) -> Completion:
    """Generate, checking that the pieces shown are the texts."""
    shown: dict[int, str] = {}

    def show(candidate: int, text: str) -> None:
        assert text
        shown[candidate] = shown.get(candidate, "") + text

    done = model.generate(asked, on_text=show, control=control or Control())
    assert [shown.get(index, "") for index in range(asked.candidates)] == [each.text for each in done.candidates]
    return done


def texts(completion: Completion) -> list[str]:
    return [each.text for each in completion.candidates]


def only(completion: Completion) -> str:
    [candidate] = completion.candidates
    return candidate.text
