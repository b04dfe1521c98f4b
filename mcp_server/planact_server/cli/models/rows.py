"""Models as programs read them (`--json`), and the words that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_quantized.models.gguf import GGUFHeader
    from planact_quantized.models.index import Model
    from planact_quantized.models.known import KnownModel, Licence


def model_row(model: Model) -> JSONObject:
    """Return a model on this machine."""
    known = known_of(model)
    row: JSONObject = model.model_dump(mode="json")
    row |= {
        "path": str(model.path),
        "here": True,
        "problem": model.problem,
        "title": known.title if known else model.id,
    }
    return row


def known_row(known: KnownModel) -> JSONObject:
    """Return a model of the catalogue that is not on this machine."""
    row: JSONObject = known.model_dump(mode="json", exclude={"licence"})
    row |= {
        "here": False,
        "licence": known.licence.id,
        "licence_link": known.licence.link,
        "non_commercial": known.licence.non_commercial,
        "url": known.url,
    }
    return row


def header_row(header: GGUFHeader) -> JSONObject:
    """Return what a file's header says."""
    return {
        "gguf_version": header.version,
        "name": header.name,
        "tensors": len(header.tensors),
        "layers": header.layers,
        "width": header.width,
        "heads": header.heads,
        "kv_heads": header.kv_heads,
        "feed_forward": header.feed_forward,
        "vocabulary": header.vocabulary,
        "tied": header.tied,
        "tokenizer": header.tokenizer,
        "tokenizer_rules": header.tokenizer_rules,
        "chat_template": header.chat_template,
    }


def known_of(model: Model) -> KnownModel | None:
    """Return what the catalogue says about a model; None where it says nothing, or nothing any more."""
    from planact_quantized.models.known import known_models

    return next((known for known in known_models() if known.id == model.known), None)


def licence_text(licence: str | None) -> str:
    """Return a licence as people read it, from what is recorded."""
    known = _licence(licence)
    if known is None:
        return licence or "not known"
    return f"{known.title}{' (non-commercial)' if known.non_commercial else ''}"


def licence_in_brief(licence: str | None) -> str:
    """Return the same in a word: what a licence forbids matters more than its name."""
    known = _licence(licence)
    return "non-commercial" if known is not None and known.non_commercial else licence_text(licence)


def _licence(licence: str | None) -> Licence | None:
    from planact_quantized.models.known import known_models

    return next((known.licence for known in known_models() if known.licence.id == licence), None)
