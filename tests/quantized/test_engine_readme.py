"""The example of the floor's own page runs as it stands."""

import re
import sys
from pathlib import Path

import anyio
import pytest

from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

README = Path(__file__).parents[2] / "quantized" / "README.md"


@pytest.mark.check
async def test_the_example_of_the_page_writes_a_text(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    make_gguf(tmp_path / "model.gguf")
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    with anyio.fail_after(60):
        done = await anyio.run_process([sys.executable, "-P", "-c", source], cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"generated_tokens=" in done.stdout
    assert done.stdout.rstrip().endswith(b"ready")
