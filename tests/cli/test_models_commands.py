"""`planact models` as people and programs use it, with a web server and a hub of the test."""

import dataclasses
import hashlib
import json
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.test_commands import parse
from cli.test_terminal import Terminal
from planact_quantized.fitting.devices import host_only
from planact_quantized.models import known
from planact_quantized.models.candidates import examine
from planact_quantized.models.known import KnownModel, find_known
from planact_quantized.models.store import ModelStore
from planact_server.cli import main
from planact_server.cli.models.licences import licence_in
from planact_server.cli.place import as_usable
from planact_testing import Home
from quantized.file_server import File, FileServer, file_server  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf, spoil  # noqa: TID251

COMMIT = "c" * 40
FREE, RESEARCH = "tiny-agent-a-0.5b:Q4_K_M", "tiny-agent-a-3b:Q4_K_M"

Planact = Callable[..., tuple[int, str, str]]


class Hub:
    """A hub that keeps its files on another server, as the real one does."""

    def __init__(self, pages: FileServer, storage: FileServer) -> None:
        self.url = pages.url
        self.pages, self.storage = pages, storage

    def publish(self, repository: str, file: str, body: bytes, **options: object) -> None:
        sha256 = hashlib.sha256(body).hexdigest()
        self.storage.files[f"/{sha256}"] = File(body, **options)
        headers = {"x-repo-commit": COMMIT, "x-linked-etag": f'"{sha256}"', "x-linked-size": str(len(body))}
        for revision in ("main", COMMIT):
            path = f"/{repository}/resolve/{revision}/{file}"
            self.pages.files[path] = File(b"", redirect=f"{self.storage.url}/{sha256}", headers=headers)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture
def hub() -> Iterator[Hub]:
    with file_server() as pages, file_server() as storage:
        yield Hub(pages, storage)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state" / "models")


@pytest.fixture
def planact(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Planact:
    """Run a command in this process: exit code, standard output, standard error."""
    for name, value in {
        "PLANACT_HOME": str(tmp_path / "state"),
        "PLANACT_CONFIG": str(tmp_path / "planact.toml"),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "HF_ENDPOINT": hub.url,
        "COLUMNS": "160",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "planact.toml").touch()
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("planact_server.cli.models.licences.ask_person", lambda question: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["models", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the second that it takes to look for devices."""
    monkeypatch.setattr("planact_quantized.fitting.devices.read_machine", host_only)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "coder.F16.gguf")


@pytest.fixture
def published(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Models of the catalogue, as small as the test needs them, on the hub."""
    body = make_gguf(tmp_path / "published.gguf").read_bytes()
    changed: list[KnownModel] = []
    for name in (FREE, RESEARCH):
        model = find_known(name)
        shape = model.shape.model_copy(update={"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "vocabulary": 261})
        update = {"approximate_bytes": len(body), "shape": shape, "quantization": "F16"}
        changed.append(model.model_copy(update=update))
        hub.publish(model.repository, model.file, body)
    monkeypatch.setattr(known, "known_models", lambda: tuple(changed))
    return body


def test_list_shows_what_can_be_had_with_licence_and_fit(planact: Planact) -> None:
    code, out, seen = planact("list")
    assert (code, out) == (0, "")
    (line,) = (line for line in seen.splitlines() if line.startswith(RESEARCH))
    assert "~1.90 GB" in line
    assert "non-commercial" in line


@pytest.mark.usefixtures("no_devices")
def test_list_puts_what_is_here_first(planact: Planact, tiny: Path) -> None:
    planact("add", str(tiny))
    rows = json.loads(planact("list", "--json")[1])
    assert (rows[0]["id"], rows[0]["here"], rows[0]["problem"]) == ("coder.F16", True, None)
    assert rows[0]["fit"]["fits"] is True
    assert {"id": FREE, "here": False, "licence": "apache-2-0", "non_commercial": False}.items() <= rows[1].items()
    assert [row["id"] for row in json.loads(planact("list", "--here", "--json")[1])] == ["coder.F16"]
    assert [row["id"] for row in json.loads(planact("--json")[1])] == [row["id"] for row in rows]


@pytest.mark.usefixtures("no_devices")
def test_list_says_what_fits_as_the_configuration_has_it(planact: Planact, tiny: Path, tmp_path: Path) -> None:
    planact("add", str(tiny))
    (tmp_path / "planact.toml").write_text('[model]\ndevice = "CUDA7"\n')
    [row] = json.loads(planact("list", "--here", "--json")[1])
    assert row["fit"]["fits"] is False
    assert "There is no device 'CUDA7' here" in row["fit"]["reason"]
    (tmp_path / "planact.toml").write_text("[model]\nn_ctx = 512\n")
    [row] = json.loads(planact("list", "--here", "--json")[1])
    assert row["fit"]["context_tokens"] == json.loads(planact("fit", "--json")[1])["context_tokens"] == 512


@pytest.mark.usefixtures("no_devices")
def test_fit_passes_over_a_file_that_cannot_be_read(planact: Planact, tiny: Path, store: ModelStore) -> None:
    planact("add", str(tiny))
    planact("add", str(make_gguf(tiny.with_name("broken.gguf"), layers=3)))
    spoil(store.find("broken").path)
    code, out, seen = planact("fit", "--json")
    assert (code, json.loads(out)["model"]) == (0, "coder.F16")
    assert "The model 'broken' is passed over: " in seen


def test_pull_fetches_checks_and_records(planact: Planact, store: ModelStore, published: bytes) -> None:
    code, out, _ = planact("pull", FREE, "--json")
    (model,) = store.models()
    assert code == 0
    assert (model.id, model.known, model.licence, model.origin) == (FREE, FREE, "apache-2-0", "pulled")
    assert model.path.name == "dria-agent-a-0.5b.Q4_K_M.gguf"
    assert model.path.read_bytes() == published
    assert json.loads(out)["sha256"] == hashlib.sha256(published).hexdigest()
    assert store.arriving() == {}


def test_pull_again_fetches_nothing(planact: Planact, hub: Hub, published: bytes) -> None:
    planact("pull", FREE)
    hub.pages.asked.clear()
    code, _, seen = planact("pull", FREE)
    assert code == 0
    assert "is here already" in seen
    assert hub.pages.asked == []


def test_pull_takes_any_file_of_the_hub(planact: Planact, hub: Hub, store: ModelStore, tiny: Path) -> None:
    hub.publish("owner/models", "sub/coder.gguf", tiny.read_bytes())
    assert planact("pull", "owner/models/sub/coder.gguf")[0] == 0
    assert [model.id for model in store.models()] == ["coder"]


def test_pull_knows_a_file_by_its_hash(planact: Planact, hub: Hub, tiny: Path) -> None:
    planact("add", str(tiny))
    hub.publish("owner/models", "coder.gguf", tiny.read_bytes())
    code, _, seen = planact("pull", "owner/models/coder.gguf")
    assert code == 0
    assert "coder.F16 is here already" in seen
    assert hub.storage.asked == []


@pytest.mark.usefixtures("no_devices")
def test_pull_goes_on_where_an_earlier_one_stopped(
    planact: Planact, hub: Hub, store: ModelStore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("owner/models", "coder.gguf", tiny.read_bytes(), cuts=[100_000])
    monkeypatch.setattr("planact_quantized.models.download.ATTEMPTS", 1)
    code, _, seen = planact("pull", "owner/models/coder.gguf")
    assert code == 1
    assert "100 kB have arrived and are kept" in seen
    assert "100 kB of coder.gguf have arrived" in planact("list")[2]
    assert planact("pull", "owner/models/coder.gguf")[0] == 0
    assert hub.storage.gets() == [None, "bytes=100000-"]
    assert store.find("coder").path.read_bytes() == tiny.read_bytes()


def test_what_has_arrived_can_be_thrown_away(planact: Planact, store: ModelStore) -> None:
    (store.incoming / "coder.gguf.partial").write_bytes(b"x" * 5000)
    code, _, seen = planact("rm", "coder.gguf")
    assert code == 0
    assert "Threw away 5 kB of coder.gguf" in seen
    assert store.arriving() == {}


def test_pull_refuses_what_is_not_the_model_any_more(planact: Planact, hub: Hub) -> None:
    """A file of 5.93 MB where hundreds are expected is a vocabulary."""
    model = find_known(FREE)
    hub.publish(model.repository, model.file, b"GGUF" * 100)
    code, _, seen = planact("pull", FREE)
    assert code == 1
    assert "has 0 kB on the hub instead of about 398 MB" in seen
    assert [asked.method for asked in hub.pages.asked] == ["HEAD"]


def test_pull_offline_says_how_to_bring_the_file_by_hand(planact: Planact, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        code, _, seen = planact("pull", FREE, "--endpoint", url)
    assert code == 1
    assert f"{url} cannot be reached" in seen
    assert f"  {url}/driaforall/Tiny-Agent-a-0.5B/resolve/main/dria-agent-a-0.5b.Q4_K_M.gguf\n" in seen
    assert as_usable("  planact models add dria-agent-a-0.5b.Q4_K_M.gguf\n") in seen


@pytest.mark.parametrize("command", ["pull", "info"])
def test_an_unknown_model_is_wrong_usage(planact: Planact, command: str) -> None:
    code, _, seen = planact(command, "tiny-agent-0.5b:Q4_K_M")
    assert code == 2
    assert f"Did you mean {FREE}" in seen or f"Did you mean '{FREE}'" in seen


def test_a_non_commercial_licence_needs_somebody_to_agree(
    planact: Planact, hub: Hub, store: ModelStore, published: bytes
) -> None:
    code, _, seen = planact("pull", RESEARCH)
    assert code == 2
    assert "licensed for non-commercial use only: Qwen Research License (https://huggingface.co/Qwen/" in seen
    assert "say --accept-license" in seen
    assert hub.pages.asked == []
    assert store.models() == ()


def test_an_accepted_licence_is_not_asked_about_again(planact: Planact, store: ModelStore, published: bytes) -> None:
    assert planact("pull", RESEARCH, "--accept-license")[0] == 0
    assert store.accepted("qwen-research")
    planact("rm", RESEARCH)
    code, _, seen = planact("pull", RESEARCH)
    assert code == 0
    assert "non-commercial" not in seen


def test_adding_a_known_file_asks_for_its_licence_too(
    planact: Planact, store: ModelStore, published: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "dria-agent-a-3b.Q4_K_M.gguf"
    path.write_bytes(published)
    assert planact("add", str(path))[0] == 2
    assert store.models() == ()
    assert planact("add", str(path), "--accept-license")[0] == 0
    assert store.find(RESEARCH).licence == "qwen-research"


@pytest.mark.parametrize(
    ("metadata", "title", "non_commercial"),
    [
        ({"general.license": "apache-2.0"}, "apache-2.0", False),
        ({"general.license": "cc-by-nc-4.0"}, "cc-by-nc-4.0", True),
        ({"general.license": "other", "general.license.name": "qwen-research"}, "qwen-research", True),
    ],
)
def test_a_licence_that_only_the_file_names_counts_too(
    tiny: Path, metadata: dict[str, str], title: str, non_commercial: bool
) -> None:
    candidate = examine(tiny)
    licence = licence_in(
        dataclasses.replace(candidate, header=dataclasses.replace(candidate.header, metadata=metadata))
    )
    assert licence is not None
    assert (licence.title, licence.non_commercial) == (title, non_commercial)


def test_every_command_of_the_documentation_is_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    lines = re.findall(r"^planact .*$", text, re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        parse(shlex.split(line, comments=True)[1:])


def test_add_copies_a_file_and_says_where_it_is(planact: Planact, store: ModelStore, tiny: Path) -> None:
    code, out, seen = planact("add", str(tiny), "--name", "mine")
    (model,) = store.models()
    assert (code, out) == (0, "")
    assert f"mine is ready: {model.path}" in seen
    assert model.path.read_bytes() == tiny.read_bytes()


def test_add_with_link_leaves_it_where_it_is_and_rm_does_too(planact: Planact, tiny: Path, store: ModelStore) -> None:
    planact("add", str(tiny), "--link")
    assert store.models()[0].path == tiny
    code, _, seen = planact("rm", "coder.F16")
    assert code == 0
    assert f"its file stays: {tiny}" in seen
    assert tiny.exists()


def test_add_fetches_a_url(planact: Planact, server: FileServer, store: ModelStore, tiny: Path) -> None:
    server.files["/files/my%20coder.gguf?download=true"] = File(tiny.read_bytes())
    sha256 = hashlib.sha256(tiny.read_bytes()).hexdigest()
    code, _, _ = planact("add", f"{server.url}/files/my%20coder.gguf?download=true", "--sha256", sha256.upper())
    assert code == 0
    assert [(model.id, model.sha256) for model in store.models()] == [("my-coder", sha256)]


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<!DOCTYPE html>" + b" " * 100, "is a web page"), (b"GGUF" + bytes(100), "big-endian")],
)
def test_a_url_of_something_else_adds_nothing(
    planact: Planact, server: FileServer, store: ModelStore, body: bytes, said: str
) -> None:
    server.files["/coder.gguf"] = File(body)
    code, _, seen = planact("add", f"{server.url}/coder.gguf")
    assert code == 1
    assert said in seen
    assert store.models() == ()
    assert not list(store.incoming.glob("*.gguf"))


@pytest.mark.parametrize("where", ["file", "url"])
def test_a_wrong_hash_adds_nothing(
    planact: Planact, server: FileServer, store: ModelStore, tiny: Path, where: str
) -> None:
    server.files["/coder.gguf"] = File(tiny.read_bytes())
    what = str(tiny) if where == "file" else f"{server.url}/coder.gguf"
    code, _, seen = planact("add", what, "--sha256", "0" * 64)
    assert code == 1
    assert hashlib.sha256(tiny.read_bytes()).hexdigest() in seen
    assert store.models() == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.gguf"], "There is no file 'nothing.gguf'"),
        (["coder.F16.gguf", "--sha256", "abc"], "is no SHA-256"),
        (["http://127.0.0.1:9/coder.gguf", "--link"], "--link is for files"),
        (["coder.F16.gguf", "--name", "../x"], "cannot be a model's name"),
    ],
)
def test_wrong_ways_to_add_are_explained(planact: Planact, tiny: Path, arguments: list[str], said: str) -> None:
    code, _, seen = planact("add", *arguments)
    assert code in (1, 2)
    assert said in seen


def test_a_file_without_weights_is_refused(planact: Planact, tmp_path: Path, store: ModelStore) -> None:
    path = make_gguf(tmp_path / "m.gguf", tensors=False)
    code, _, seen = planact("add", str(path))
    assert code == 1
    assert "a vocabulary and no weights at all (0 tensors" in seen
    assert store.models() == ()


def test_info_shows_header_file_and_licence(planact: Planact, tiny: Path) -> None:
    planact("add", str(tiny))
    row = json.loads(planact("info", "coder", "--json")[1])
    assert {"id": "coder.F16", "layers": 2, "vocabulary": 261, "tokenizer": "gpt2", "notes": []}.items() <= row.items()
    seen = planact("info", "coder")[2]
    assert "quantization     F16" in seen
    assert "licence          not known" in seen


def test_info_looks_at_any_file_and_at_models_that_are_not_here(planact: Planact, tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "bare.gguf", omit=["template"])
    row = json.loads(planact("info", str(path), "--json")[1])
    assert [note.partition(";")[0] for note in row["notes"]] == ["It has no chat template"]
    row = json.loads(planact("info", RESEARCH, "--json")[1])
    assert (row["here"], row["non_commercial"], row["shape"]["layers"]) == (False, True, 36)


def test_a_model_that_the_catalogue_has_lost_is_shown_all_the_same(
    planact: Planact, tiny: Path, store: ModelStore
) -> None:
    planact("add", str(tiny))
    index = store.folder / "index.json"
    record = json.loads(index.read_text())
    record["models"][0]["known"] = "of-another-year:Q4_K_M"
    index.write_text(json.dumps(record))
    code, out, _ = planact("info", "coder", "--json")
    assert (code, json.loads(out)["title"]) == (0, "coder.F16")


def test_rm_of_something_unknown_is_wrong_usage(planact: Planact) -> None:
    code, _, seen = planact("rm", "nothing")
    assert code == 2
    assert "There is no model 'nothing'" in seen


@pytest.mark.usefixtures("no_devices")
def test_a_damaged_index_is_mended_and_said_to_be(planact: Planact, tiny: Path, store: ModelStore) -> None:
    planact("add", str(tiny))
    (store.folder / "index.json").write_text("{")
    code, out, seen = planact("list", "--here", "--json")
    assert code == 0
    assert [row["id"] for row in json.loads(out)] == ["coder.F16"]
    assert "was damaged" in seen


def test_quantize_makes_a_file_that_can_be_added(planact: Planact, tiny: Path, store: ModelStore) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    code, out, _ = planact("quantize", str(tiny), "coder.Q8_0.gguf", "--type", "q8_0", "--json")
    made = json.loads(out)
    assert code == 0
    assert (made["type"], made["bytes"], made["fallbacks"]) == ("Q8_0", Path("coder.Q8_0.gguf").stat().st_size, [])
    assert planact("add", "coder.Q8_0.gguf")[0] == 0
    assert store.find("coder.Q8_0").quantization == "Q8_0"


def test_quantize_warns_of_rows_that_stay_larger_and_can_only_be_worked_out(planact: Planact, tiny: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    code, _, seen = planact("quantize", str(tiny), "out.gguf", "--type", "Q4_K_M", "--dry-run")
    assert code == 0
    assert "have rows of 64, no multiple of the 256 that Q4_K needs: they become Q5_0" in seen
    assert "Nothing was written" in seen
    assert not Path("out.gguf").exists()


def test_quantize_refuses_a_type_that_it_does_not_know(planact: Planact, tiny: Path) -> None:
    code, _, seen = planact("quantize", str(tiny), "out.gguf", "--type", "IQ1_S")
    assert code == 2
    assert "There are Q2_K, " in seen


def test_a_terminal_is_asked_for_a_licence(home: Home, hub: Hub, tmp_path: Path) -> None:
    model = find_known(RESEARCH)
    hub.publish(model.repository, model.file, b"GGUF" * 100)
    terminal = Terminal(home, "models", "pull", RESEARCH, HF_ENDPOINT=hub.url, columns=160, cold=True)
    terminal.read_until("Do you accept this licence? [y/N]")
    terminal.type("n\n")
    assert terminal.ended() == 1
    assert "Nothing was changed" in terminal.plain
    terminal = Terminal(home, "models", "pull", RESEARCH, HF_ENDPOINT=hub.url, columns=160, cold=True)
    terminal.read_until("Do you accept this licence? [y/N]")
    terminal.type("y\n")
    assert terminal.ended() == 1
    assert "on the hub instead of about 1.90 GB" in terminal.plain


@pytest.mark.check
def test_ctrl_c_keeps_what_has_arrived_and_says_so(home: Home, hub: Hub, tiny: Path) -> None:
    body, stall = tiny.read_bytes(), threading.Event()
    hub.publish("owner/models", "coder.gguf", body, cuts=[100_000], stall=stall)
    terminal = Terminal(home, "models", "pull", "owner/models/coder.gguf", HF_ENDPOINT=hub.url, columns=100)
    terminal.read_until("100.0/222.8 kB")
    terminal.type("\x03")
    assert terminal.ended() == 130
    stall.set()
    assert "Stopped. 100 kB of coder.gguf is kept; the same command goes on from there." in terminal.plain
    assert "Traceback" not in terminal.plain
    terminal = Terminal(home, "models", "pull", "owner/models/coder.gguf", HF_ENDPOINT=hub.url, columns=200)
    assert terminal.ended() == 0
    assert "coder is ready" in terminal.plain
    assert hub.storage.gets() == [None, "bytes=100000-"]
