"""The files of the current folder: nothing but restrictions until a person trusts them."""

import os
import sqlite3
from pathlib import Path

import pytest

from planact_server.assembly import configured_servers
from planact_server.config import Config, ConfigError, PackSpec, PolicySettings, SandboxSettings, load_config
from planact_server.policy import Policy, ToolFacts
from planact_server.store import FILE_NAME, Store
from planact_server.trust import examine, trust_folder

SETTINGS = """
packs = ["./evil.py"]
[policy]
trust = ["evil"]
allow = ["evil.*"]
ask = ["git.git_commit"]
deny = ["git.git_push"]
default = "allow"
approve_without_terminal = true
[sandbox]
memory_mb = 4096
[servers]
call_timeout_seconds = 1
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")


class Place:
    """A user who works in a cloned folder."""

    def __init__(self, root: Path) -> None:
        self.own = root / "config" / "planact"
        self.cwd = root / "cloned"
        self.state = root / "state" / "planact"
        self.own.mkdir(parents=True)
        self.cwd.mkdir()
        self.environ = {"XDG_CONFIG_HOME": str(root / "config"), "XDG_STATE_HOME": str(root / "state")}

    def put(self, text: str, name: str = "planact.toml") -> Path:
        path = self.cwd / name
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, config_file: Path | None = None) -> Config:
        return load_config(config_file=config_file, environ=self.environ, cwd=self.cwd)

    def trust(self) -> None:
        files = examine(self.cwd)
        assert files is not None
        with Store.open(self.state) as store:
            trust_folder(store, files)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_only_ask_and_deny_of_an_untrusted_folder_hold(place: Place) -> None:
    place.put(SETTINGS)
    place.put("{}", "mcp.json")
    config = place.load()
    notice = (
        f"The folder {str(place.cwd)!r} has its own planact.toml and mcp.json; they are not trusted."
        " Only `ask` and `deny` of its planact.toml hold."
        f" Read the files, then: planact trust {place.cwd}"
    )
    assert config == Config(
        state=place.state,
        policy=PolicySettings(also_ask=("git.git_commit",), also_deny=("git.git_push",)),
        notices=(notice,),
    )


def test_an_untrusted_folder_with_servers_alone_is_spoken_of_as_such(place: Place) -> None:
    place.put("{}", "mcp.json")
    notice = (
        f"The folder {str(place.cwd)!r} has its own mcp.json; it is not trusted. No server that it names is started."
        f" Read the files, then: planact trust {place.cwd}"
    )
    assert place.load().notices == (notice,)


def test_reading_an_untrusted_folder_creates_nothing(place: Place, tmp_path: Path) -> None:
    place.put(SETTINGS)
    place.load()
    assert not (tmp_path / "state").exists()


def test_an_untrusted_folder_cannot_loosen_what_the_user_denied(place: Place) -> None:
    (place.own / "planact.toml").write_text('[policy]\ndeny = ["git.*"]\n')
    place.put('[policy]\nask = ["git.git_commit"]')
    commit = ToolFacts(server="git", server_name="git", tool="git_commit", tool_name="git_commit")
    assert Policy(place.load().policy).decide(commit).verdict == "deny"


def test_a_trusted_folder_takes_effect_except_for_what_only_the_user_sets(place: Place) -> None:
    settings, servers = place.put(SETTINGS), place.put("{}", "mcp.json")
    place.put("def f(): ...", "evil.py")
    place.trust()
    config = place.load()
    left_out = "is left out: only your own configuration may set it."
    assert config.policy == PolicySettings(
        trust=("evil",), allow=("evil.*",), ask=("git.git_commit",), deny=("git.git_push",)
    )
    assert config.sandbox == SandboxSettings()
    assert config.servers.call_timeout_seconds == 1.0
    assert config.packs == (PackSpec(spec="./evil.py", base=place.cwd, origin=str(settings)),)
    assert config.mcp_files == (servers,)
    assert config.files == (settings,)
    assert config.notices == (
        f"{settings}: [policy] approve_without_terminal {left_out}",
        f"{settings}: [sandbox] memory_mb {left_out}",
        f'{settings}: [policy] default = "allow" {left_out}',
    )


def test_a_trusted_folder_cannot_say_default_allow_in_other_words(place: Place) -> None:
    place.put('[policy]\nallow = ["*", "*.*", "**", "git.*"]\ntrust = ["*"]\n[planner]\nbase_url = "http://x"')
    place.trust()
    config = place.load()
    assert (config.policy.allow, config.policy.trust, config.planner.base_url) == (("git.*",), (), None)
    assert len(config.notices) == 5


def test_a_trusted_folder_does_not_say_where_tasks_go_but_how_a_model_is_loaded(place: Place) -> None:
    place.put('[planner]\nbackend = "openai"\napi_key = "k"\nmodel = "./m.gguf"\n[model]\nn_ctx = 4096')
    place.trust()
    config = place.load()
    assert (config.planner.backend, config.planner.api_key, config.model.n_ctx) == ("local", None, 4096)
    assert config.planner.model == str(place.cwd / "m.gguf")
    assert len(config.notices) == 2


def test_the_lists_of_a_trusted_folder_are_added_to_the_users(place: Place) -> None:
    own = place.own / "planact.toml"
    own.write_text('packs = ["calendar"]\n[policy]\ndeny = ["a.*"]\ndefault = "deny"\n[results]\nraw = ["x.y"]')
    theirs = place.put('packs = ["files"]\n[policy]\ndeny = ["b.*"]\n[results]\nraw = ["z.w"]')
    place.trust()
    config = place.load()
    assert config.policy == PolicySettings(deny=("a.*", "b.*"), default="deny")
    assert config.results.raw == ("x.y", "z.w")
    assert [(pack.spec, pack.base) for pack in config.packs] == [("calendar", place.own), ("files", place.cwd)]
    assert config.origins["policy.deny"] == f"{own} and {theirs}"


def test_a_named_file_wins_over_a_trusted_folder(place: Place, tmp_path: Path) -> None:
    named = tmp_path / "named.toml"
    named.write_text("[servers]\ncall_timeout_seconds = 7")
    place.put("[servers]\ncall_timeout_seconds = 5\nstart_timeout_seconds = 6")
    place.trust()
    servers = place.load(named).servers
    assert (servers.call_timeout_seconds, servers.start_timeout_seconds) == (7.0, 6.0)


@pytest.mark.parametrize("name", ["planact.toml", "mcp.json", "evil.py"])
def test_a_changed_folder_is_not_trusted_any_more_and_says_what_changed(place: Place, name: str) -> None:
    place.put(SETTINGS)
    place.put("{}", "mcp.json")
    place.put("def f(): ...", "evil.py")
    place.trust()
    with (place.cwd / name).open("a", encoding="utf-8") as file:
        file.write("\n# more\n")
    config = place.load()
    changed = "./evil.py" if name == "evil.py" else name
    [notice] = config.notices
    assert f"they are no longer what was trusted: {changed} changed." in notice
    assert (config.packs, config.mcp_files, config.policy.allow) == ((), (), ())


def test_a_file_named_by_the_user_needs_no_trust(place: Place) -> None:
    settings, servers = place.put(SETTINGS), place.put("{}", "mcp.json")
    config = place.load(settings)
    assert config.sandbox.memory_mb == 4096
    assert config.policy.default == "allow"
    assert config.mcp_files == (servers,)
    assert config.notices == ()


def test_the_users_own_folder_needs_no_trust(place: Place) -> None:
    (place.own / "planact.toml").write_text("[sandbox]\ncalls = 5")
    config = load_config(config_file=None, environ=place.environ, cwd=place.own)
    assert (config.sandbox.calls, config.notices) == (5, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[policy", "Expected"),
        ("a = " + "[" * 50_000, "nested too deeply"),
        ("a = " + "9" * 9_000, "digits"),
        ("policy = 3", "items"),
        ("[policy]\ndeny = 3", "deny = 3"),
        ("[policy]\ndeny = [1]", "deny[0] = 1"),
    ],
)
def test_a_broken_untrusted_file_is_a_notice(place: Place, text: str, what: str) -> None:
    path = place.put(text)
    config = place.load()
    assert config.policy == PolicySettings()
    assert len(config.notices) == 2
    assert config.notices[1].startswith(f"{path}: its `ask` and `deny` cannot be read, so they do not hold: ")
    assert what in config.notices[1]


def test_a_typo_in_an_untrusted_file_does_not_matter(place: Place) -> None:
    place.put('nonsense = 1\n[policy]\ndeny = ["a.*"]\ntrsut = 3\n')
    assert place.load().policy == PolicySettings(also_deny=("a.*",))


def test_a_typo_in_a_trusted_file_is_an_error(place: Place) -> None:
    place.put("nonsense = 1")
    place.trust()
    with pytest.raises(ConfigError, match="no key 'nonsense'"):
        place.load()


@posix_only
@pytest.mark.parametrize("name", ["planact.toml", "mcp.json"])
def test_a_pipe_in_the_folder_is_a_notice_and_nothing_waits(place: Place, name: str) -> None:
    os.mkfifo(place.cwd / name)
    config = place.load()
    assert f"has its own {name}; '{place.cwd / name}' is a pipe or device, not a file." in config.notices[0]
    assert config.mcp_files == ()


def test_an_enormous_file_in_the_folder_is_a_notice(place: Place) -> None:
    place.put("#" * 300_000)
    assert "is larger than 262,144 bytes." in place.load().notices[0]


@posix_only
def test_a_pack_that_cannot_be_fingerprinted_ends_the_trust(place: Place) -> None:
    place.put('packs = ["./evil.py"]')
    place.put("def f(): ...", "evil.py")
    place.trust()
    (place.cwd / "evil.py").unlink()
    os.mkfifo(place.cwd / "evil.py")
    config = place.load()
    assert config.packs == ()
    assert "cannot be trusted" in config.notices[0]


def test_a_damaged_store_means_no_trust_and_a_notice(place: Place) -> None:
    place.put(SETTINGS)
    place.trust()
    (place.state / FILE_NAME).write_bytes(b"no database" * 99)
    config = place.load()
    assert config.packs == ()
    assert ["was damaged (" in notice for notice in config.notices] == [True, False]


def test_a_store_that_cannot_be_opened_means_no_trust_and_a_notice(place: Place) -> None:
    place.put(SETTINGS)
    place.trust()
    db = sqlite3.connect(place.state / FILE_NAME)
    db.execute("PRAGMA user_version = 99")
    db.close()
    config = place.load()
    assert config.packs == ()
    assert ["newer Planact" in notice for notice in config.notices] == [True, False]


def test_the_servers_are_those_that_were_trusted_whatever_the_file_says_later(place: Place) -> None:
    servers = place.put('{"mcpServers": {"mine": {"command": "x"}}}', "mcp.json")
    place.trust()
    config = place.load()
    servers.write_text('{"mcpServers": {"evil": {"command": "y"}}}')
    assert [spec.name for spec in configured_servers(config)] == ["mine"]
