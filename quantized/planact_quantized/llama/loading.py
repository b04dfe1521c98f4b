"""A model file to a model and a context, as the settings say and not otherwise.

llama.cpp falls back quietly (to the CPU, to fewer layers); this module asks it afterwards what it really did.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planact_quantized.backend import BackendError, BackendInfo
from planact_quantized.fitting.devices import CPU
from planact_quantized.fitting.footprint import cells_of, footprint_of_file
from planact_quantized.fitting.host import read_host
from planact_quantized.fitting.ladder import OUTPUTS
from planact_quantized.llama.context import Context
from planact_quantized.llama.native import library
from planact_quantized.llama.vocabulary import Vocabulary
from planact_quantized.models.gguf import GGUFError, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planact_quantized.fitting.ggml import DeviceHandle
    from planact_quantized.llama.native import Library
    from planact_quantized.models.gguf import GGUFHeader
    from planact_quantized.settings import EngineSettings

_MIB = 1024 * 1024
_KV_TYPES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}
_CELL_BYTES = 48
"""What llama.cpp keeps about each token besides its keys and values."""

_FLASH = {"auto": -1, "off": 0, "on": 1}
_SPLITS = {"none": 0, "layer": 1, "row": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory, with everything that llama.cpp said about it."""

    native: Library
    model: Any
    context: Context
    vocabulary: Vocabulary
    template: str | None
    info: BackendInfo
    identity: str
    """What stored evaluations of this model depend on: file, llama.cpp, device, KV cache."""

    def close(self) -> None:
        self.context.close()
        self.native.api.llama_model_free(self.model)


def load(settings: EngineSettings, *, on_progress: Callable[[float], bool]) -> Loaded:
    """Load a model. Raises BackendError: `unavailable`, `model`, `memory`.

    `on_progress` is called with 0…1 and returns False to stop; then BackendError (`unavailable`) is raised.
    """
    native = library()
    if not settings.model.is_file():
        raise BackendError(
            f"There is no model file {str(settings.model)!r}. `planact models list` shows what is there.", fault="model"
        )
    devices = _chosen_devices(native, settings)
    native.log.clear()
    model = _load_model(native, settings, devices, on_progress)
    try:
        _check_kind(native, model, settings)
        layers, offloaded = _layers(native, model, settings)
        vocabulary = Vocabulary(native.api, model)
        context = _make_context(native, model, settings, devices, vocabulary)
    except BaseException:
        native.api.llama_model_free(model)
        raise
    said = native.log.text()
    quantization = _text(native.api.llama_model_desc, model)
    extras = {
        "quantization": quantization,
        "flash attention": "on"
        if re.search(r"Flash Attention (?:was \w+, set to )?enabled|flash_attn\s+= enabled", said)
        else "off",
        "KV cache": settings.kv_type,
        "compute buffer": f"{_sum_mib(said, 'compute buffer size'):.1f} MiB",
        "KV buffer": f"{_sum_mib(said, 'KV buffer size'):.1f} MiB",
        "trained context": str(native.api.llama_model_n_ctx_train(model)),
        "fingerprint": fingerprint(settings.model),
        "llama-cpp-python": native.version,
    }
    names = ", ".join(f"{each.name}: {each.description}" for each in devices) or "CPU"
    info = BackendInfo(
        kind="local",
        model=settings.name or settings.model.name,
        device=names,
        context_tokens=min(settings.context_tokens, context.cells),
        layers=layers,
        offloaded_layers=offloaded,
        candidates=settings.candidates,
        grammar=True,
        extras=extras,
    )
    identity = "\n".join(
        (extras["fingerprint"], native.version, names, str(offloaded), settings.kv_type, extras["flash attention"])
    )
    raw = native.api.llama_model_chat_template(model, None)
    template = raw.decode(errors="replace") if raw else None
    return Loaded(
        native=native,
        model=model,
        context=context,
        vocabulary=vocabulary,
        template=template,
        info=info,
        identity=identity,
    )


def fingerprint(file: Path, *, pieces: int = 64, piece_bytes: int = 64 * 1024) -> str:
    """Return a short name for the content of a model file, from its size, its start and pieces all over it.

    Tells files apart that differ by accident or by quantization, in milliseconds; it is no proof against malice.
    """
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        for index in range(pieces):
            source.seek(max(0, size - piece_bytes) * index // max(1, pieces - 1))
            digest.update(source.read(piece_bytes))
    return digest.hexdigest()


def _chosen_devices(native: Library, settings: EngineSettings) -> list[DeviceHandle]:
    """Return the devices that the settings name, several separated by commas; none for the CPU."""
    if settings.device.lower() == CPU:
        if settings.gpu_layers:
            raise BackendError(
                f"{settings.gpu_layers} layers were to go to a device, but the device is the CPU. Set `device`, or "
                "`gpu_layers = 0`.",
                fault="model",
            )
        return []
    there = native.devices()
    wanted = [name.strip().lower() for name in settings.device.split(",")]
    chosen = [device for name in wanted for device in there if device.name.lower() == name]
    if len(chosen) != len(wanted):
        names = ", ".join(repr(device.name) for device in there)
        raise BackendError(
            f"There is no device {settings.device!r} here; "
            + (
                f"there is {names}."
                if names
                else 'this build of llama.cpp sees only the CPU. Run `planact models setup`, or set `device = "cpu"`.'
            ),
            fault="unavailable",
        )
    return chosen


def _load_model(
    native: Library, settings: EngineSettings, devices: list[DeviceHandle], on_progress: Callable[[float], bool]
) -> Any:
    api = native.api
    parameters = api.llama_model_default_params()
    # An empty list, not None: None is "all that there are".
    pointers = (ctypes.c_void_p * (len(devices) + 1))(*[device.pointer for device in devices], None)
    parameters.devices = ctypes.cast(pointers, ctypes.c_void_p)
    parameters.n_gpu_layers = settings.gpu_layers if devices else 0
    parameters.split_mode = _SPLITS[settings.split_mode]
    parameters.main_gpu = settings.main_gpu
    if settings.tensor_split:
        shares = (ctypes.c_float * int(api.llama_max_devices()))(*settings.tensor_split)
        parameters.tensor_split = shares
    stopped = False
    raised: list[BaseException] = []

    def progress(value: float, _data: object) -> bool:
        nonlocal stopped
        try:
            stopped = stopped or not on_progress(float(value))
        except BaseException as error:  # noqa: BLE001 - C code calls this; ctypes would print it and go on
            raised.append(error)
            stopped = True
        return not stopped

    callback = api.llama_progress_callback(progress)
    parameters.progress_callback = callback
    model = api.llama_model_load_from_file(os.fsencode(settings.model), parameters)
    if raised:
        if model:
            api.llama_model_free(model)
        raise raised[0]
    if model:
        return model
    if stopped:
        raise BackendError(f"Loading {settings.model.name!r} was stopped.", fault="unavailable")
    raise _failure(native, devices, f"The model {settings.model.name!r} cannot be loaded")


def _check_kind(native: Library, model: Any, settings: EngineSettings) -> None:
    """Raise BackendError (`model`) for what is no plain decoder: its memory cannot be cut back to a prefix."""
    api = native.api
    kinds = {
        "an encoder": api.llama_model_has_encoder(model) or not api.llama_model_has_decoder(model),
        "a recurrent model": api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model),
        "a diffusion model": api.llama_model_is_diffusion(model),
    }
    for kind, is_it in kinds.items():
        if is_it:
            raise BackendError(
                f"{settings.model.name!r} is {kind}, and only plain decoders can plan here. Choose another file with "
                "`planact models list`.",
                fault="model",
            )


def _make_context(
    native: Library, model: Any, settings: EngineSettings, devices: list[DeviceHandle], vocabulary: Vocabulary
) -> Context:
    api = native.api
    _check_memory(settings, _header(settings), on_host=not devices)
    sequences = settings.candidates + 1
    outputs = max(OUTPUTS, sequences)
    batch = max(settings.batch_tokens, outputs)
    threads = settings.threads or read_host().cores
    parameters = api.llama_context_default_params()
    parameters.n_ctx = settings.context_tokens
    parameters.n_batch = parameters.n_ubatch = batch
    parameters.n_seq_max = sequences
    parameters.kv_unified = True
    parameters.n_outputs_max = outputs
    parameters.n_threads = threads
    parameters.n_threads_batch = settings.batch_threads or threads
    parameters.flash_attn_type = _FLASH[settings.flash_attention]
    parameters.type_k = parameters.type_v = getattr(api, _KV_TYPES[settings.kv_type])
    parameters.offload_kqv = bool(devices)
    parameters.op_offload = bool(devices)
    pointer = api.llama_init_from_model(model, parameters)
    if not pointer:
        raise _failure(
            native,
            devices,
            f"{settings.model.name!r} was loaded, but a context of {settings.context_tokens} tokens cannot be made",
        )
    return Context(native, pointer, vocabulary_size=vocabulary.size, batch_tokens=batch, outputs=outputs)


def _check_memory(settings: EngineSettings, header: GGUFHeader, *, on_host: bool) -> None:
    """Raise BackendError (`memory`) for a cache that this machine cannot hold.

    Linux promises more memory than there is, and ends the process when it is used.
    """
    cells = cells_of(settings.context_tokens)
    needed = cells * _CELL_BYTES
    if on_host:
        footprint = footprint_of_file(header)
        needed += footprint.kv_bytes(layers=footprint.layers, cells=cells, kv_type=settings.kv_type)
    free = read_host().available_bytes
    if needed > free:
        raise BackendError(
            f"A context of {settings.context_tokens} tokens of {settings.model.name!r} needs {needed // _MIB} MiB; "
            f'{free // _MIB} MiB are free. Lower `n_ctx`, or use `kv_type = "q8_0"`.',
            fault="memory",
        )


def _header(settings: EngineSettings) -> GGUFHeader:
    try:
        return read_header(settings.model)
    except GGUFError as error:
        raise BackendError(str(error), fault="model") from error


def _failure(native: Library, devices: list[DeviceHandle], what: str) -> BackendError:
    reason = native.log.reason()
    if not native.log.tells_of_memory():
        return BackendError(f"{what}: {reason}.", fault="model")
    free = ", ".join(f"{device.name} has {device.free_bytes // _MIB} MiB free" for device in devices)
    advice = (
        'Lower `n_ctx`, use `kv_type = "q8_0"`, '
        + ("lower `n_gpu_layers`, " if devices else "")
        + "or choose a smaller file."
    )
    return BackendError(f"{what}: it does not fit ({reason}{'; ' + free if free else ''}). {advice}", fault="memory")


def _layers(native: Library, model: Any, settings: EngineSettings) -> tuple[int, int]:
    """Return (layers, of them on a device), counting the output layer as llama.cpp does."""
    found = re.search(r"offloaded (\d+)/(\d+) layers", native.log.text())
    total = int(found[2]) if found else int(native.api.llama_model_n_layer(model)) + 1
    offloaded = int(found[1]) if found else 0
    asked = total if settings.gpu_layers < 0 else min(settings.gpu_layers, total)
    if offloaded < asked:
        raise BackendError(
            f"{asked} layers were to go to {settings.device!r}, and llama.cpp put only {offloaded} there. Run `planact "
            "doctor`.",
            fault="unavailable",
        )
    return total, offloaded


def _text(function: Any, model: Any) -> str:
    buffer = ctypes.create_string_buffer(256)
    function(model, buffer, 256)
    return buffer.value.decode(errors="replace")


def _sum_mib(said: str, what: str) -> float:
    return sum(float(each) for each in re.findall(rf"{what} = +([\d.]+) MiB", said))
