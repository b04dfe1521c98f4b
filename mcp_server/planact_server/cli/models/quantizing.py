"""`planact models quantize`: models become smaller."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planact_quantized.models.quantization_types import TYPES
from planact_server.cli import INTERRUPTED
from planact_server.cli.models.place import FAILED, opened_store
from planact_server.cli.models.progress import showing
from planact_server.cli.terminal import ConfigOption, JSONOption, UsageError, complain, examples, print_json
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_quantized.models.quantize import Plan, Quantized

_TYPES_HELP = "One of " + ", ".join(f"{name} ({note})" if note else name for name, note in TYPES.items()) + "."


def register(app: typer.Typer) -> None:
    app.command(
        "quantize",
        epilog=examples(
            "planact models quantize coder.F16.gguf coder.Q4_K_M.gguf --type Q4_K_M",
            "planact models quantize coder.F16.gguf coder.Q6_K.gguf --type Q6_K --dry-run",
            "planact models add coder.Q4_K_M.gguf",
        ),
    )(quantize)


def quantize(
    source: Annotated[str, typer.Argument(help="A GGUF in F16, BF16 or F32: its path, or its id.", metavar="IN")],
    target: Annotated[Path, typer.Argument(help="The file to write.", metavar="OUT")],
    kind: Annotated[str, typer.Option("--type", "-t", help=_TYPES_HELP, metavar="TYPE")] = "Q4_K_M",
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Take a quantized IN too; the result is worse.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", min=0, help="0: as many as there are cores.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how large it would become; write nothing.")] = False,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Make a smaller file of a model with llama.cpp.

    OUT appears when it is whole and its header is right. Ctrl-C stops the work and leaves nothing behind.
    """
    from planact_quantized.models.quantize import QuantizeError, plan_quantization
    from planact_quantized.models.quantize import quantize as make

    if kind.upper() not in TYPES:
        raise UsageError(f"{kind!r} is no type that can be made. There are {', '.join(TYPES)}.")
    with opened_store(config) as store:
        path = store.resolve(source).path
        try:
            plan = plan_quantization(path, kind.upper(), allow_requantize=allow_requantize)
            _tell(plan)
            if dry_run:
                _finish(plan, None, target, as_json=as_json)
                return
            with showing(f"{path.name} → {plan.type}") as (report, _):
                made = make(plan, target, force=force, threads=threads, report=report)
        except QuantizeError as error:
            complain(str(error))
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            complain("Stopped; nothing was written.")
            raise typer.Exit(INTERRUPTED) from None
        _finish(plan, made, target, as_json=as_json)


def _tell(plan: Plan) -> None:
    """Say which tensors stay larger than was asked for."""
    kinds = Counter((each.row, each.block, each.wanted, each.got) for each in plan.fallbacks)
    for (row, block, wanted, got), count in sorted(kinds.items()):
        some = next(each.tensor for each in plan.fallbacks if (each.row, each.wanted, each.got) == (row, wanted, got))
        complain(
            f"{count} of {len(plan.header.tensors)} tensors ({some}{', …' if count > 1 else ''}) have rows of {row}, "
            f"no multiple of the {block} that {wanted} needs: they become {got}."
        )


def _finish(plan: Plan, made: Quantized | None, target: Path, *, as_json: bool) -> None:
    from planact_quantized.models.large_files import megabytes

    before, after = plan.header.file_bytes, made.header.file_bytes if made else plan.bytes
    if as_json:
        row: JSONObject = {
            "path": str(target.absolute()) if made else None,
            "type": plan.type,
            "bytes_before": before,
            "bytes": after,
            "seconds": round(made.seconds, 2) if made else None,
            "fallbacks": [
                {"tensor": each.tensor, "row": each.row, "wanted": each.wanted, "got": each.got}
                for each in plan.fallbacks
            ],
        }
        print_json(row)
        return
    sizes = f"{megabytes(before)} → {megabytes(after)}"
    if made is None:
        complain(f"{plan.type}: {sizes}. Nothing was written.")
    else:
        complain(f"{target}: {sizes} in {made.seconds:.1f} s. `planact models add {target}` takes it in.")
