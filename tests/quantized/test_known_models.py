"""The catalogue: what it promises about itself."""

import pytest

from planact_quantized.models.ggml_types import FILE_TYPES
from planact_quantized.models.known import UnknownModelError, find_known, known_models, recognize

VOCABULARY_ONLY_BYTES = 6_000_000


def test_it_holds_the_five_models_in_the_quantizations_that_exist() -> None:
    """The makers' own files in two quantizations, other people's of the Dria-Agent models in six."""
    two, six = {"Q4_K_M", "Q8_0"}, {"Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"}
    found: dict[str, set[str]] = {}
    for model in known_models():
        name, _, quantization = model.id.partition(":")
        assert quantization == model.quantization
        found.setdefault(name, set()).add(quantization)
    assert found == {
        "tiny-agent-a-0.5b": two,
        "tiny-agent-a-1.5b": two,
        "tiny-agent-a-3b": two,
        "dria-agent-a-3b": six,
        "dria-agent-a-7b": six,
    }


def test_every_id_is_there_once() -> None:
    ids = [model.id for model in known_models()]
    assert len(set(ids)) == len(ids)


def test_no_vocabulary_only_file_is_listed() -> None:
    for model in known_models():
        assert model.approximate_bytes > 10 * VOCABULARY_ONLY_BYTES
        assert ".f16." not in model.file
        assert not model.repository.startswith(("Triangle104/", "roleplaiapp/"))


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.id)
def test_every_entry_is_consistent(model) -> None:
    shape = model.shape
    assert model.quantization in FILE_TYPES.values()
    assert model.file.endswith(f".{model.quantization}.gguf")
    assert shape.width % shape.heads == shape.heads % shape.kv_heads == 0
    assert model.source == ("first-party" if model.repository.startswith("driaforall/") else "third-party")
    assert model.url == f"https://huggingface.co/{model.repository}/resolve/main/{model.file}"
    # The file is about as large as its parameters in that many bits come to.
    table = shape.vocabulary * shape.width * (1 if shape.tied else 2)
    head = shape.width // shape.heads
    layer = 2 * shape.width**2 + 2 * shape.width * shape.kv_heads * head + 3 * shape.width * shape.feed_forward
    bits = 8 * model.approximate_bytes / (table + shape.layers * layer)
    low, high = {"Q2": (2.5, 3.5), "Q3": (3.5, 4.5), "Q4": (4.5, 6.6), "Q5": (5.5, 6), "Q6": (6.5, 7), "Q8": (8, 9)}[
        model.quantization[:2]
    ]
    assert low < bits < high


@pytest.mark.parametrize("name", ["tiny-agent-a-3b", "dria-agent-a-3b"])
def test_the_research_licence_is_non_commercial_and_has_a_link(name: str) -> None:
    licence = find_known(name).licence
    assert (licence.id, licence.non_commercial) == ("qwen-research", True)
    assert licence.link.startswith("https://huggingface.co/Qwen/")


@pytest.mark.parametrize("name", ["tiny-agent-a-0.5b", "tiny-agent-a-1.5b", "dria-agent-a-7b"])
def test_the_others_are_free_to_use(name: str) -> None:
    assert not find_known(name).licence.non_commercial


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tiny-agent-a-0.5b", "tiny-agent-a-0.5b:Q4_K_M"),
        ("Tiny-Agent-A-0.5B:q8_0", "tiny-agent-a-0.5b:Q8_0"),
        ("dria-agent-a-3b:Q6", "dria-agent-a-3b:Q6_K"),
    ],
)
def test_a_model_is_found_by_its_id_or_the_beginning_of_one(name: str, found: str) -> None:
    assert find_known(name).id == found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny-agent-a", "Did you mean tiny-agent-a-0.5b:Q4_K_M"),
        ("tinyagent-0.5b:Q4_K_M", "Did you mean tiny-agent-a-0.5b:Q4_K_M"),
        ("", "There is no model ''"),
        ("llama", "`planact models list`"),
    ],
)
def test_what_is_not_there_is_said_with_what_comes_near(name: str, said: str) -> None:
    with pytest.raises(UnknownModelError) as raised:
        find_known(name)
    assert said in str(raised.value)


def test_a_file_is_recognized_by_name_and_shape_together() -> None:
    name, shape = "dria-agent-a-0.5b.Q4_K_M.gguf", {"quantization": "Q4_K_M", "layers": 24, "width": 896}
    known = recognize(name, **shape)
    assert known is not None
    assert known.id == "tiny-agent-a-0.5b:Q4_K_M"
    assert recognize(name, **shape | {"layers": 2}) is None
    assert recognize(name, **shape | {"quantization": "Q8_0"}) is None
    assert recognize("other.gguf", **shape) is None
