"""How models were really loaded: the last time for each model and device, in a file that nothing can break."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from planact_quantized import BackendInfo
from planact_quantized.fitting.loads import Loads

INFO = BackendInfo(
    kind="local", model="m", device="CUDA0: a card", layers=25, offloaded_layers=20, context_tokens=4_096
)


def test_the_last_load_on_each_device_is_kept(tmp_path: Path) -> None:
    loads = Loads(tmp_path / "state" / "loads.json")
    assert loads.of("m") == ()
    for info in (INFO, replace(INFO, device="CPU", offloaded_layers=0), replace(INFO, offloaded_layers=25)):
        loads.keep(info)
    loads.keep(replace(INFO, model="another"))
    assert [(load.device, load.offloaded_layers) for load in loads.of("m")] == [("CUDA0: a card", 25), ("CPU", 0)]


@pytest.mark.parametrize("content", ["", "[]", '{"k": 1}', '{"k": {"model": "m"}}', "[" * 10_000])
def test_what_cannot_be_read_counts_as_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "loads.json"
    file.write_text(content)
    loads = Loads(file)
    assert loads.of("m") == ()
    loads.keep(INFO)
    assert len(loads.of("m")) == 1


def test_an_entry_of_the_wrong_types_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "loads.json"
    loads = Loads(file)
    loads.keep(INFO)
    [(key, entry)] = json.loads(file.read_text()).items()
    file.write_text(json.dumps({key: entry | {"layers": "many"}}))
    assert loads.of("m") == ()
