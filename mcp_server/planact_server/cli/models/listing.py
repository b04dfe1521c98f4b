"""`planact models list` and `info`: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.models.fit import this_machine
from planact_server.cli.models.fitting import fit_row, fit_text
from planact_server.cli.models.place import opened_store, store_of
from planact_server.cli.models.rows import header_row, known_of, known_row, licence_in_brief, licence_text, model_row
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    complain,
    console,
    examples,
    print_json,
    print_table,
    read_config,
    refuse_options_before,
    visible,
)
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from planact_quantized.models.known import KnownModel
    from planact_quantized.models.store import ModelStore

HereOption = Annotated[bool, typer.Option("--here", help="Only what is on this machine.")]


def register(app: typer.Typer) -> None:
    app.callback(
        invoke_without_command=True,
        epilog=examples("planact models", "planact models pull tiny-agent-a-0.5b"),
    )(list_alone)
    app.command("list", epilog=examples("planact models list", "planact models list --here --json"))(list_models)
    app.command(
        "info",
        epilog=examples("planact models info tiny-agent-a-0.5b", "planact models info ./coder.Q8_0.gguf --json"),
    )(info)


def list_alone(context: typer.Context, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """List and keep the models that write plans on this machine."""
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    list_models(config=config, as_json=as_json)


def list_models(here: HereOption = False, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """List what is here, what can be had, and what fits.

    What fits is loaded as `[model]` says. Sizes of what is not here yet are rounded.
    """
    from planact_quantized.models.known import known_models
    from planact_server.planner.model_choice import wanted_for

    settings = read_config(config)
    wanted = wanted_for(settings.planner, settings.model)
    with store_of(settings) as store:
        present = store.models()
        have = {model.known for model in present}
        others = () if here else tuple(known for known in known_models() if known.id not in have)
        where = this_machine(wanted)
        rows = [*map(model_row, present), *map(known_row, others)]
        for row, model in zip(rows, (*present, *others), strict=True):
            row["fit"] = fit_row(model, where, wanted)
        arriving = _arriving(store)
    if as_json:
        print_json([*rows])
        return
    if rows:
        print_table(["model", "size", "licence", "fits", "here"], [_cells(row) for row in rows])
    else:
        complain("No model is on this machine. `planact models list` shows those that can be had.")
    for line in arriving:
        complain(line)


def info(
    name: Annotated[str, typer.Argument(help="A model's id, or the path of any GGUF file.", metavar="MODEL|FILE")],
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Show everything about one model.

    What it is, where it is, what it may be used for; of a model that is not here, what the catalogue says.
    """
    from planact_quantized.models.candidates import examine
    from planact_quantized.models.store import ModelNotFoundError

    with opened_store(config) as store:
        try:
            model = store.resolve(name)
        except ModelNotFoundError as error:
            row = known_row(_known_or(error, name))
            notes: tuple[str, ...] = ()
        else:
            candidate = examine(model.path)
            row = model_row(model) | header_row(candidate.header)
            if (known := known_of(model)) is not None:
                row |= {"page": known.page, "base": known.base}
            notes = candidate.notes
        row["notes"] = [*notes]
    if as_json:
        print_json(row)
    else:
        _print_info(row)


def _known_or(error: Exception, name: str) -> KnownModel:
    from planact_quantized.models.known import UnknownModelError, find_known

    try:
        return find_known(name)
    except UnknownModelError:
        raise error from None


def _arriving(store: ModelStore) -> list[str]:
    """Return a line for each download that was interrupted."""
    from planact_quantized.models.large_files import megabytes

    return [
        f"{megabytes(size)} of {name} have arrived; pulling or adding it again goes on, "
        f"`planact models rm {name}` throws them away."
        for name, size in store.arriving().items()
    ]


def _cells(row: JSONObject) -> list[str]:
    from planact_quantized.models.large_files import megabytes

    size = row["bytes"] if row["here"] else row["approximate_bytes"]
    fit = row["fit"]
    return [
        str(row["id"]),
        f"{'' if row['here'] else '~'}{megabytes(size)}" if isinstance(size, int) else "",
        licence_in_brief(row["licence"] if isinstance(row["licence"], str) else None),
        fit_text(fit) if isinstance(fit, dict) else "",
        str(row["problem"] or "yes") if row["here"] else "no",
    ]


def _text(value: JSONValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_info(row: JSONObject) -> None:
    out = console()
    licence = row.get("licence")
    shown = row | {"licence": licence_text(licence if isinstance(licence, str) else None)}
    hidden = ("chat_template", "notes", "here", "title", "shape", "known", "modified_ns")
    lines = [(key, value) for key, value in shown.items() if key not in hidden and value not in (None, "")]
    widest = max(len(key) for key, _ in lines)
    out.print(visible(str(row["title"])), style="bold", markup=False)
    for key, value in lines:
        text = _text(value)
        out.print(visible(f"  {key.replace('_', ' '):{widest}}  {text}"), markup=False, soft_wrap=True)
    template = row.get("chat_template")
    if isinstance(template, str):
        out.print(f"  {'chat template':{widest}}  {len(template):,} characters; --json has it", markup=False)
    for note in row["notes"] if isinstance(row["notes"], list) else ():
        complain(str(note))
