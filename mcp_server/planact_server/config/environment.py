"""PLANACT_* variables and command-line options, as layers like any file.

`PLANACT_POLICY__DEFAULT=deny` is `default = "deny"` in `[policy]`; `PLANACT_PACKS=calendar,./mine.py` is
`packs`. Text stands for itself; a list is written with commas or as in TOML; numbers and truth values as in
TOML.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from planact_server.config.reading import ConfigError, Layer, checked_layer, known_keys
from planact_server.config.schema import SECTIONS, TopLevel
from planact_server.toml_text import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PREFIX = "PLANACT_"
CONFIG_VARIABLE = "PLANACT_CONFIG"
HOME_VARIABLE = "PLANACT_HOME"

_VARIABLES: Mapping[str, str] = {PREFIX + key.upper().replace(".", "__"): key for key in known_keys()}


def environment_layers(environ: Mapping[str, str], *, base: Path) -> Iterator[Layer]:
    """Yield a layer for each variable. Raises ConfigError for one that is nearly, or plainly wrongly, ours."""
    for name in sorted(environ):
        if name not in _VARIABLES:
            _refuse_misspelt(name)
            continue
        key = _VARIABLES[name]
        yield checked_layer(_nested(key, _value(key, environ[name])), origin=f"environment {name}", base=base)


def override_layers(overrides: Mapping[str, object], *, base: Path) -> Iterator[Layer]:
    """Yield a layer for each override of the command line, dotted key → value. Raises ConfigError."""
    for key, value in overrides.items():
        yield checked_layer(_nested(key, value), origin="command line", base=base)


def _refuse_misspelt(name: str) -> None:
    if not name.startswith(PREFIX) or name in (CONFIG_VARIABLE, HOME_VARIABLE):
        return
    close = get_close_matches(name, [*_VARIABLES, CONFIG_VARIABLE, HOME_VARIABLE], n=1, cutoff=0.9)
    # Other variables with our prefix may belong to other parts of the program or to the user's scripts.
    if close or "__" in name:
        hint = f"Did you mean {close[0]}?" if close else "Variables are named PLANACT_TABLE__KEY."
        raise ConfigError(f"environment {name}: there is no such setting. {hint}")


def _nested(key: str, value: object) -> dict[str, object]:
    section, _, name = key.rpartition(".")
    return {section: {name: value}} if section else {name: value}


def _value(key: str, text: str) -> object:
    section, _, name = key.rpartition(".")
    default: object = (SECTIONS[section] if section else TopLevel).model_fields[name].get_default()
    if isinstance(default, tuple) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if default is None or isinstance(default, str):
        return text
    try:
        return parse_toml(f"value = {text}".encode(errors="surrogateescape"))["value"]
    except ValueError:
        return text  # not a value at all: the check that follows says what is wanted
