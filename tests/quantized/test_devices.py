"""Asking for devices: what is there, and every way in which a driver can spoil it."""

import json
import sys
from pathlib import Path

import pytest

from planact_quantized.fitting.devices import Device, ProbeError, host_only, read_machine
from planact_quantized.fitting.host import read_host

ANSWER = {
    "devices": [
        {"name": "CUDA0", "description": "a card", "kind": "gpu", "free_bytes": 7, "total_bytes": 8},
        {"name": "BLAS", "description": "a library", "kind": "accelerator", "free_bytes": 0, "total_bytes": 0},
    ],
    "llama_cpp": "0.3.36",
    "gpu_offload": True,
    "system_info": "CUDA : ARCHS = 890",
}


def child(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_ggml_is_asked_in_a_process_of_its_own() -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    machine = read_machine()
    assert machine.llama_cpp
    assert machine.host.cores >= 1
    assert 0 < machine.host.available_bytes <= machine.host.total_bytes
    assert machine.gpu_offload == bool(machine.gpus)
    assert all(device.name for device in machine.devices)


def test_an_answer_becomes_devices_whatever_a_driver_prints() -> None:
    machine = read_machine(command=child(f"print('driver: hello'); print({json.dumps(ANSWER)!r})"))
    card = Device(name="CUDA0", description="a card", kind="gpu", free_bytes=7, total_bytes=8)
    assert machine.gpus == (card,)
    assert [device.name for device in machine.devices] == ["CUDA0", "BLAS"]
    assert (machine.llama_cpp, machine.gpu_offload) == ("0.3.36", True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import sys; sys.exit('no libcuda.so')", "ended with code 1: no libcuda.so"),
        ("print('not json')", "gave no usable answer"),
        ("pass", "gave no usable answer"),
        ("print('{}')", "gave no usable answer"),
        ("print('[1]')", "gave no usable answer"),
    ],
)
def test_a_driver_that_crashes_takes_nothing_down(source: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message) as error:
        read_machine(command=child(source))
    assert error.value.fault == "unavailable"


def test_a_driver_that_hangs_is_given_up() -> None:
    with pytest.raises(ProbeError, match=r"took more than 0\.5 s: a driver hangs"):
        read_machine(command=child("import threading; threading.Event().wait()"), seconds=0.5)


def test_devices_are_not_looked_for_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ggml loads drivers from the current folder: those of a cloned project must not be among them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    source = (
        f"import json, os; print(json.dumps({ANSWER!r} | dict(system_info=[os.getcwd(), os.getenv('GITHUB_TOKEN')])))"
    )
    machine = read_machine(command=child(source))
    assert machine.system_info == f"{[Path(sys.executable).anchor, None]}"


def test_a_missing_llama_cpp_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.fitting.devices.find_spec", lambda name: None)
    with pytest.raises(ProbeError, match=r"llama-cpp-python is not installed.*`planact models setup`"):
        read_machine()


def test_the_host_alone_needs_no_child() -> None:
    assert host_only().devices == ()
    assert host_only().host.total_bytes > 0


MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("", {}, (16_384_000_000, 8_192_000_000)),
        ("0::/\n", {"memory.max": "max", "memory.current": "5"}, (16_384_000_000, 8_192_000_000)),
        (
            "0::/a/b\n",
            {
                "a/memory.max": "4000000000",
                "a/memory.current": "3000000000",
                "a/memory.stat": "anon 1\ninactive_file 500000000\n",
                "a/b/memory.max": "max",
                "a/b/memory.current": "0",
            },
            (4_000_000_000, 1_500_000_000),
        ),
        (
            "9:cpu,memory:/x\n",
            {"memory/x/memory.limit_in_bytes": "2000000000", "memory/x/memory.usage_in_bytes": "2500000000"},
            (2_000_000_000, 0),
        ),
    ],
)
def test_a_container_has_what_its_control_group_leaves(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: tuple[int, int]
) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    for name, text in {proc / "meminfo": MEMINFO, proc / "self" / "cgroup": cgroup}.items():
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(text)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    host = read_host(proc=proc, cgroups=groups)
    assert (host.total_bytes, host.available_bytes) == expected


@pytest.mark.parametrize(
    ("cpuinfo", "name", "sets"),
    [
        (
            "model name\t: A CPU\nflags\t\t: fpu sse2 avx512f smep avx2 hypervisor\n",
            "A CPU",
            ("avx2", "avx512f", "sse2"),
        ),
        ("Features\t: fp asimd evtstrm i8mm sve\n", None, ("asimd", "i8mm", "sve")),
    ],
)
def test_the_processor_is_told_by_what_code_for_it_may_use(tmp_path: Path, cpuinfo: str, name, sets) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    host = read_host(proc=tmp_path, cgroups=tmp_path)
    assert host.instruction_sets == sets
    if name:
        assert host.processor == name
