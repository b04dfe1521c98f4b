"""What fits where: the ladder over a table of devices and models, and what must hold for all of them."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_counts import examples
from planact_quantized import ALL_LAYERS, BackendError, EngineSettings
from planact_quantized.fitting.devices import Device, Machine
from planact_quantized.fitting.fit import DEVICE_RESERVE, Fit, FitError, largest_that_fits, plan_fit
from planact_quantized.fitting.footprint import Footprint, footprint_of_known
from planact_quantized.fitting.host import Host
from planact_quantized.fitting.ladder import Wanted
from planact_quantized.fitting.recommended import recommended
from planact_quantized.models.known import find_known, known_models

MIB, GIB = 1024**2, 1024**3
KNOWN = {model.id: footprint_of_known(model) for model in known_models()}


def machine(*gpus: Device, host_gib: float = 16) -> Machine:
    host = Host(
        processor="a processor",
        cores=8,
        total_bytes=int(host_gib * GIB),
        available_bytes=int(host_gib * GIB),
        instruction_sets=(),
    )
    return Machine(host=host, devices=gpus, gpu_offload=bool(gpus))


def gpu(gib: float, name: str = "CUDA0", **changes: object) -> Device:
    device = Device(name=name, description="a card", kind="gpu", free_bytes=int(gib * GIB), total_bytes=int(gib * GIB))
    return replace(device, **changes)


def known(name: str) -> Footprint:
    return KNOWN[find_known(name).id]


def summary(fit: Fit) -> tuple[str, int, int, str]:
    return fit.device, fit.gpu_layers, fit.context_tokens, fit.kv_type


@pytest.mark.parametrize(
    ("model", "gib", "expected"),
    [
        ("tiny-agent-a-0.5b:q4_k_m", 24, ("CUDA0", ALL_LAYERS, 8192, "f16")),
        ("tiny-agent-a-0.5b:q4_k_m", 1.2, ("CUDA0", ALL_LAYERS, 8192, "f16")),
        ("tiny-agent-a-3b:q4_k_m", 4, ("CUDA0", ALL_LAYERS, 8192, "f16")),
        ("tiny-agent-a-3b:q4_k_m", 2.5, ("CUDA0", ALL_LAYERS, 3840, "f16")),
        ("tiny-agent-a-3b:q4_k_m", 2.4, ("CUDA0", ALL_LAYERS, 2048, "q8_0")),
        ("tiny-agent-a-3b:q4_k_m", 2, ("CUDA0", 27, 2048, "q8_0")),
        ("tiny-agent-a-3b:q4_k_m", 1, ("cpu", 0, 8192, "f16")),
        ("dria-agent-a-7b:q8_0", 24, ("CUDA0", ALL_LAYERS, 8192, "f16")),
        ("dria-agent-a-7b:q4_k_m", 8, ("CUDA0", ALL_LAYERS, 8192, "f16")),
    ],
)
def test_auto_takes_the_first_rung_that_fits(model: str, gib: float, expected: tuple[str, int, int, str]) -> None:
    assert summary(plan_fit(known(model), machine(gpu(gib)))) == expected


def test_a_compromise_is_said_in_a_sentence() -> None:
    assert plan_fit(known("tiny-agent-a-3b"), machine(gpu(2))).notes == (
        "The context is 2048 tokens instead of 8192: more does not fit.",
        "The KV cache is in q8_0: in f16 it does not fit.",
        "10 of 36 layers stay on the CPU, which is slower.",
    )
    assert plan_fit(known("tiny-agent-a-3b"), machine(gpu(24))).notes == ()


def test_auto_says_why_it_took_the_cpu() -> None:
    fit = plan_fit(known("tiny-agent-a-3b"), machine(gpu(1)))
    assert fit.device == "cpu"
    assert fit.notes[0].startswith("On the CPU, because ")
    assert "CUDA0" in fit.notes[0]


@pytest.mark.parametrize("device", ["CUDA0", "cuda", "gpu", "GPU"])
def test_a_device_that_was_asked_for_and_is_too_small_is_an_error_with_the_numbers(device: str) -> None:
    with pytest.raises(FitError) as error:
        plan_fit(known("dria-agent-a-7b:q8_0"), machine(gpu(0.6)), Wanted(device=device))
    assert error.value.message == (
        "'dria-agent-a-7b:Q8_0' does not fit on CUDA0 (a card): with 1 of 28 layers, context 2048 and the KV cache in "
        "q8_0, it needs 950 MiB; 614 MiB of 614 MiB are free, 512 MiB of them kept back. Take a smaller file."
    )
    assert isinstance(error.value, BackendError)
    assert error.value.fault == "memory"


@pytest.mark.parametrize(
    ("name", "there", "message"),
    [
        ("CUDA0", (), "There is no device 'CUDA0' here; there is none but the CPU. This build of llama.cpp has no"),
        ("gpu", (), "There is no device 'gpu' here"),
        ("CUDA3", (gpu(8), gpu(8, "CUDA1")), "there is CUDA0 (a card), CUDA1 (a card)."),
        ("BLAS", (gpu(8), gpu(8, "BLAS", kind="accelerator")), "There is no device 'BLAS' here"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(name: str, there: tuple[Device, ...], message: str) -> None:
    with pytest.raises(FitError) as error:
        plan_fit(known("tiny-agent-a-0.5b"), machine(*there), Wanted(device=name))
    assert message in error.value.message


def test_the_roomiest_of_several_devices_is_taken_and_a_name_decides() -> None:
    there = machine(gpu(4), gpu(24, "CUDA1"), gpu(64, "Vulkan0", kind="igpu"))
    chosen = [
        plan_fit(known("tiny-agent-a-3b"), there, Wanted(device=name)).device
        for name in ("auto", "gpu", "cuda", "cuda0", "vulkan")
    ]
    assert chosen == ["CUDA1", "CUDA1", "CUDA1", "CUDA0", "Vulkan0"]
    assert plan_fit(known("tiny-agent-a-3b"), machine(gpu(8, "MTL0")), Wanted(device="metal")).device == "MTL0"


@pytest.mark.parametrize(
    ("device", "main_gpu", "used"),
    [("auto", 1, "CUDA0"), ("CUDA1", 1, "CUDA1"), ("cuda", 1, "CUDA0"), ("CUDA1,CUDA0", 2, "CUDA1, CUDA0")],
)
def test_a_main_gpu_outside_the_devices_that_are_used_is_an_error(device: str, main_gpu: int, used: str) -> None:
    two = machine(gpu(24), gpu(8, "CUDA1"))
    wanted = Wanted(device=device, main_gpu=main_gpu)
    said = re.escape(f"`main_gpu` is {main_gpu}, and counts from 0 in the devices that are used: {used}.")
    with pytest.raises(FitError, match=said):
        plan_fit(known("tiny-agent-a-0.5b:q4_k_m"), two, wanted, others=tuple(KNOWN.values()))
    within = replace(wanted, main_gpu=main_gpu - 1)
    assert plan_fit(known("tiny-agent-a-0.5b:q4_k_m"), two, within).device == used.replace(", ", ",")


def test_several_devices_are_filled_together_when_they_are_named() -> None:
    there = machine(gpu(5), gpu(5, "CUDA1"))
    alone, both = (
        plan_fit(known("dria-agent-a-7b:q8_0"), there, Wanted(device=name)) for name in ("CUDA0", "CUDA0, cuda1")
    )
    assert alone.offloaded_layers < alone.layers
    assert (both.device, both.gpu_layers) == ("CUDA0,CUDA1", ALL_LAYERS)
    assert both.need.total + both.need.compute + 2 * DEVICE_RESERVE <= 10 * GIB
    with pytest.raises(FitError, match="There is no device 'CUDA2' here"):
        plan_fit(known("tiny-agent-a-0.5b"), there, Wanted(device="CUDA0,CUDA2"))


def test_an_integrated_device_and_the_host_share_their_memory() -> None:
    shared = machine(gpu(6, "Vulkan0", kind="igpu"), host_gib=5.5)
    with pytest.raises(FitError, match="does not fit"):
        plan_fit(known("dria-agent-a-7b:q4_k_m"), shared, Wanted(device="vulkan", gpu_layers=ALL_LAYERS))
    apart = machine(gpu(6), host_gib=5.5)
    assert plan_fit(known("dria-agent-a-7b:q4_k_m"), apart).gpu_layers == ALL_LAYERS


def test_what_was_asked_for_is_kept_or_refused() -> None:
    model, small = known("tiny-agent-a-3b"), machine(gpu(2.6))
    assert plan_fit(model, small, Wanted(context_tokens=8192)).kv_type == "q8_0"
    assert plan_fit(model, small, Wanted(context_tokens=8192)).context_tokens == 8192
    assert plan_fit(model, small, Wanted(kv_type="q4_0")).kv_type == "q4_0"
    assert plan_fit(model, small, Wanted(gpu_layers=9)).offloaded_layers == 8
    assert plan_fit(model, small, Wanted(gpu_layers=999)).gpu_layers == ALL_LAYERS
    assert plan_fit(model, small, Wanted(gpu_layers=0)).device == "cpu"
    with pytest.raises(FitError, match="Lower `n_ctx` or `n_gpu_layers`"):
        plan_fit(model, small, Wanted(context_tokens=32768, gpu_layers=ALL_LAYERS, kv_type="f16"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(context_tokens=100_000), "was trained for 32768 tokens"),
        (Wanted(context_tokens=10), "too short"),
        (Wanted(kv_type="q8_0", flash_attention="off"), "needs flash attention"),
        (Wanted(device="CUDA0", gpu_layers=0), "contradict"),
        (Wanted(device="cpu", gpu_layers=5), "no device holds layers"),
    ],
)
def test_wishes_that_cannot_be_are_refused(wanted: Wanted, message: str) -> None:
    with pytest.raises(FitError, match=message):
        plan_fit(known("tiny-agent-a-0.5b"), machine(gpu(24)), wanted)


def test_without_flash_attention_the_scores_of_every_head_need_room() -> None:
    on, off = (
        plan_fit(known("tiny-agent-a-0.5b"), machine(gpu(24)), Wanted(flash_attention=wish)) for wish in ("auto", "off")
    )
    assert (on.flash_attention, off.flash_attention) == ("on", "off")
    assert off.need.compute - on.need.compute == 512 * 8192 * (4 * 14 + 2)


def test_the_error_suggests_the_largest_model_that_fits() -> None:
    small = machine(host_gib=3)
    with pytest.raises(FitError) as error:
        plan_fit(known("dria-agent-a-7b:q8_0"), small, others=tuple(KNOWN.values()))
    suggested = error.value.suggestion
    assert error.value.message.endswith(f"{suggested!r} would fit.")
    rest = [each for each in KNOWN.values() if each.weight_bytes > KNOWN[suggested].weight_bytes]
    assert largest_that_fits(rest, small) is None


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (machine(gpu(24)), "dria-agent-a-7b:Q4_K_M"),
        (machine(gpu(2)), "tiny-agent-a-1.5b:Q4_K_M"),
        (machine(gpu(1)), "tiny-agent-a-1.5b:Q4_K_M"),
        (machine(host_gib=64), "tiny-agent-a-1.5b:Q4_K_M"),
        (machine(host_gib=1.2), "tiny-agent-a-0.5b:Q4_K_M"),
        (machine(host_gib=0.2), None),
    ],
)
def test_a_newcomer_gets_the_largest_model_that_anybody_may_use(there: Machine, expected: str | None) -> None:
    found = recommended(there)
    assert (found.id if found else None) == expected


def test_nothing_fits_on_a_machine_without_memory() -> None:
    assert largest_that_fits(KNOWN.values(), machine(host_gib=0.1)) is None


def test_a_fit_becomes_settings_and_leaves_the_rest(tmp_path) -> None:
    base = EngineSettings(model=tmp_path / "other.gguf", threads=3, drafting="off")
    fit = plan_fit(known("tiny-agent-a-3b"), machine(gpu(2)))
    assert fit.settings(tmp_path / "m.gguf", base=base) == EngineSettings(
        model=tmp_path / "m.gguf",
        name="tiny-agent-a-3b:Q4_K_M",
        context_tokens=2048,
        gpu_layers=27,
        device="CUDA0",
        kv_type="q8_0",
        flash_attention="on",
        threads=3,
        drafting="off",
    )


memories = st.integers(min_value=0, max_value=32 * GIB)
models = st.sampled_from(sorted(KNOWN))
wishes = st.builds(
    Wanted,
    device=st.sampled_from(["auto", "cpu", "gpu", "CUDA0"]),
    context_tokens=st.none() | st.integers(min_value=256, max_value=32768),
    gpu_layers=st.none() | st.integers(min_value=-1, max_value=40),
    kv_type=st.sampled_from([None, "f16", "q8_0"]),
    flash_attention=st.sampled_from(["auto", "on"]),
)


@given(model=models, device=memories, host=memories, wanted=wishes)
@settings(max_examples=examples(3), deadline=None)
def test_no_plan_takes_more_than_there_is(model: str, device: int, host: int, wanted: Wanted) -> None:
    there = machine(gpu(device / GIB), host_gib=host / GIB)
    try:
        fit = plan_fit(KNOWN[model], there, wanted)
    except FitError:
        return
    if fit.device == "cpu":
        assert wanted.device in ("auto", "cpu")
        assert fit.need == fit.host_need
        assert fit.need.total <= host
    else:
        assert fit.need.total + DEVICE_RESERVE <= device
        assert fit.host_need.total <= host
    if wanted.context_tokens is not None:
        assert fit.context_tokens == wanted.context_tokens
    if wanted.kv_type is not None:
        assert fit.kv_type == wanted.kv_type


def standing(model: str, there: Machine, wanted: Wanted) -> tuple[int, int]:
    """Return (layers on the device, context); (-1, 0) when it does not fit."""
    try:
        fit = plan_fit(KNOWN[model], there, wanted)
    except FitError:
        return -1, 0
    return fit.offloaded_layers, fit.context_tokens


@given(model=models, device=memories, more=memories, host=memories, wanted=wishes)
@settings(max_examples=examples(3), deadline=None)
def test_more_memory_never_gives_less(model: str, device: int, more: int, host: int, wanted: Wanted) -> None:
    """Of a device that was named: neither fewer layers nor less context. `auto` may trade context for layers."""
    less = standing(model, machine(gpu(device / GIB), host_gib=host / GIB), wanted)
    for richer in (
        machine(gpu((device + more) / GIB), host_gib=host / GIB),
        machine(gpu(device / GIB), host_gib=(host + more) / GIB),
    ):
        now = standing(model, richer, wanted)
        assert now >= less
        if wanted.device != "auto":
            assert now[0] >= less[0]
            assert now[1] >= less[1]
