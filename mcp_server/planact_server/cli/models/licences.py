"""Under which terms a model may be used, and whether the user agrees to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.terminal import UsageError, ask_person, complain

if TYPE_CHECKING:
    from planact_quantized.models.candidates import Candidate
    from planact_quantized.models.known import Licence
    from planact_quantized.models.store import ModelStore

AcceptOption = Annotated[
    bool,
    typer.Option("--accept-license", help="Agree to a non-commercial licence without being asked, as scripts must."),
]

_NON_COMMERCIAL = re.compile(r"(^|[-_ ])(nc|non-?commercial|research)([-_ ]|$)", re.IGNORECASE)


def agree(store: ModelStore, licence: Licence | None, *, title: str, accept: bool) -> None:
    """Have the user agree to a non-commercial licence, once. Raises UsageError, or Exit where the answer is no."""
    if licence is None or not licence.non_commercial or store.accepted(licence.id):
        return
    link = f" ({licence.link})" if licence.link else ""
    terms = f"{title} is licensed for non-commercial use only: {licence.title}{link}."
    complain(terms)
    if accept:
        store.accept(licence.id, how="flag")
        return
    answer = ask_person("Do you accept this licence?")
    if answer is None:
        raise UsageError("Somebody has to agree to it, and there is no terminal to ask on: say --accept-license.")
    if not answer:
        complain("Nothing was changed.")
        raise typer.Exit(1)
    store.accept(licence.id, how="terminal")


def licence_in(candidate: Candidate) -> Licence | None:
    """Return a file's licence: its model's in the catalogue, or the one that its header names."""
    from planact_quantized.models.known import Licence, find_known

    if candidate.known is not None:
        return find_known(candidate.known).licence
    texts = {key: candidate.header.metadata.get(f"general.license{key}") for key in ("", ".name", ".link")}
    named = {key: text for key, text in texts.items() if isinstance(text, str) and text}
    # "other" is what the hub calls a licence that has its name in the next field.
    title = named.get(".name") or named.get("")
    if title is None:
        return None
    non_commercial = _NON_COMMERCIAL.search(title) is not None
    return Licence(id=title.lower(), title=title, link=named.get(".link", ""), non_commercial=non_commercial)
