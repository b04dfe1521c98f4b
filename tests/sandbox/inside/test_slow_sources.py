"""Sources that Python itself reads slowly are refused before it does; others are not."""

from __future__ import annotations

import time

import pytest

from planact_server.sandbox.inside import source
from planact_server.sandbox.inside.source import Refused, Text

_BYTES = 200_000
_PADDING = "x" * 150_000
_FIELDS = "{a}" * 15_000
_DOTTED = ".".join("a" * 90_000)


@pytest.mark.parametrize(
    "written",
    [
        f"import {_DOTTED}",
        f"from {_DOTTED} import b",
        f"from .{_DOTTED} import b",
        f"import b, {_DOTTED}",
        f"if b: pass; import {_DOTTED}",
        "import " + " \\\n . \\\n ".join("a" * 15_000),
        "import " + "\t.\f".join("a" * 45_000),
        f"f'{'{a}' * 66_000}'",
        f"x = f'{_PADDING}{_FIELDS}'",
        f"x = rF'{_PADDING}\\\n{_FIELDS}'",
        f"x = f'''{_PADDING}\n{_FIELDS}'''",
        f'x = Fr"""{_PADDING}\n{_FIELDS}"""',
    ],
    ids=str.split(
        "import from relative second behind continued spaced fields padded continued-fields several-lines raw-lines"
    ),
)
def test_a_source_that_python_reads_for_seconds_is_refused_in_a_moment(written: str) -> None:
    started = time.process_time()

    with pytest.raises(Refused) as refusal:
        source.parse(Text(written, "<plan>"), max_bytes=_BYTES)

    assert time.process_time() - started < 0.5
    assert [problem.type for problem in refusal.value.problems] == ["SyntaxError"]


@pytest.mark.parametrize(
    "written",
    [
        "rows = [" + '{"half":1,"b":2},' * 10_000 + "]\nf'{rows[0]}'",
        "text = 'from " + "a. b. c " * 20_000 + "'",
        "\n".join(f"import a.b{number}" for number in range(12_000)),
        "\n".join(f"print(f'{{x}} of {{y}} at {number}')" for number in range(5_000)),
    ],
    ids=["data", "prose", "imports", "f-strings"],
)
def test_a_long_source_of_the_ordinary_kind_is_read(written: str) -> None:
    source.parse(Text(written, "<plan>"), max_bytes=_BYTES)
