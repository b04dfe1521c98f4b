"""The user's own configuration: sources, order, and what a typo looks like."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planact_server.config import Config, ConfigError, PackSpec, PolicySettings, SandboxSettings, load_config
from planact_server.sandbox import Limits


class Place:
    """A user with a configuration folder, a state folder and a current folder."""

    def __init__(self, root: Path) -> None:
        self.own = root / "config" / "planact"
        self.cwd = root / "project"
        self.own.mkdir(parents=True)
        self.cwd.mkdir()
        self.environ = {"XDG_CONFIG_HOME": str(root / "config"), "XDG_STATE_HOME": str(root / "state")}

    def user(self, text: str, name: str = "planact.toml") -> Path:
        path = self.own / name
        path.write_text(text, encoding="utf-8")
        return path

    def named(self, text: str, name: str = "work.toml") -> Path:
        path = self.cwd / "conf" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def load(
        self,
        config_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Config:
        return load_config(
            config_file=config_file,
            environ={**self.environ, **(environ or {})},
            cwd=self.cwd,
            overrides=overrides or {},
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def complaint(place: Place) -> Callable[..., str]:
    def of(text: str, **more: Any) -> str:
        path = place.user(text)
        with pytest.raises(ConfigError) as caught:
            place.load(**more)
        return str(caught.value).replace(str(path), "FILE")

    return of


def test_without_any_file_everything_is_at_its_default(place: Place, tmp_path: Path) -> None:
    assert place.load() == Config(state=tmp_path / "state" / "planact")
    assert place.load().sandbox.limits == Limits()


def test_the_later_source_wins_key_by_key(place: Place) -> None:
    user = place.user(
        'packs = ["calendar"]\n[sandbox]\nseconds = 1\ncalls = 2\nmemory_mb = 64\noutput_bytes = 3\n'
        "[servers]\ncall_timeout_seconds = 9"
    )
    named = place.named("[sandbox]\ncalls = 20\nmemory_mb = 128\noutput_bytes = 30")
    environ = {"PLANACT_SANDBOX__MEMORY_MB": "256", "PLANACT_SANDBOX__OUTPUT_BYTES": "300"}
    config = place.load(named, environ, {"sandbox.output_bytes": 3_000})
    assert config.sandbox == SandboxSettings(seconds=1.0, calls=20, memory_mb=256, output_bytes=3_000)
    assert config.servers.call_timeout_seconds == 9.0
    assert config.packs == (PackSpec(spec="calendar", base=place.own, origin=str(user)),)
    assert config.files == (user, named)
    assert config.origins == {
        "packs": str(user),
        "sandbox.seconds": str(user),
        "sandbox.calls": str(named),
        "sandbox.memory_mb": "environment PLANACT_SANDBOX__MEMORY_MB",
        "sandbox.output_bytes": "command line",
        "servers.call_timeout_seconds": str(user),
    }


def test_the_command_line_names_a_file_before_the_environment_does(place: Place) -> None:
    one, two = place.named("[sandbox]\ncalls = 1", "one.toml"), place.named("[sandbox]\ncalls = 2", "two.toml")
    assert place.load(one, {"PLANACT_CONFIG": str(two)}).sandbox.calls == 1
    assert place.load(None, {"PLANACT_CONFIG": str(two)}).sandbox.calls == 2
    assert place.load(Path("conf/one.toml")).sandbox.calls == 1
    assert place.load(None, {"PLANACT_CONFIG": ""}).sandbox.calls == 1_000


def test_a_named_file_that_is_not_there_is_an_error(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file"):
        place.load(Path("none.toml"))


def test_relative_packs_start_at_their_file(place: Place) -> None:
    named = place.named('packs = ["./mine.py", "files", "../up"]')
    packs = place.load(named).packs
    assert [pack.path for pack in packs] == [named.parent / "mine.py", None, named.parent / ".." / "up"]
    environ = place.load(environ={"PLANACT_PACKS": "calendar, ./x.py"}).packs
    assert environ == (
        PackSpec(spec="calendar", base=place.cwd, origin="environment PLANACT_PACKS"),
        PackSpec(spec="./x.py", base=place.cwd, origin="environment PLANACT_PACKS"),
    )
    assert place.load(overrides={"packs": ["./y.py"]}).packs[0].path == place.cwd / "y.py"


def test_the_mcp_files_beside_the_files_in_force_are_in_force(place: Place) -> None:
    own = place.user("{}", "mcp.json")
    assert place.load().mcp_files == (own,)
    named = place.named("")
    beside = place.named("{}", "mcp.json")
    assert place.load(named).mcp_files == (own, beside)


def test_planact_home_is_the_state_folder(place: Place, tmp_path: Path) -> None:
    assert place.load(environ={"PLANACT_HOME": str(tmp_path / "elsewhere")}).state == tmp_path / "elsewhere"
    assert place.load(environ={"PLANACT_HOME": "here"}).state == place.cwd / "here"


def test_loading_creates_nothing(place: Place, tmp_path: Path) -> None:
    place.load()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config", "planact", "project"]


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("POLICY__DEFAULT", "deny", "default", "deny"),
        ("POLICY__ALLOW", "git.*,time.now", "allow", ("git.*", "time.now")),
        ("POLICY__ALLOW", '["a.b", "c,d.e"]', "allow", ("a.b", "c,d.e")),
        ("POLICY__ALLOW", "", "allow", ()),
        ("POLICY__APPROVE_WITHOUT_TERMINAL", "true", "approve_without_terminal", True),
    ],
)
def test_the_environment_sets_any_key(place: Place, variable: str, text: str, key: str, value: object) -> None:
    config = place.load(environ={f"PLANACT_{variable}": text})
    assert config.policy == PolicySettings.model_validate({key: value})


def test_text_in_the_environment_stands_for_itself(place: Place) -> None:
    config = place.load(environ={"PLANACT_PLANNER__API_KEY": "12", "PLANACT_PLANNER__MODEL": '"quoted"'})
    assert (config.planner.api_key, config.planner.model) == ("12", '"quoted"')


def test_other_peoples_variables_are_not_ours(place: Place) -> None:
    environ = {"PLANACT_HTTP_TOKEN": "x", "PLAN__ACT": "y", "PATH": "z"}
    assert place.load(environ=environ) == place.load()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "PLANACT_POLICY__DEFUALT",
            "ask",
            "environment PLANACT_POLICY__DEFUALT: there is no such setting. Did you mean PLANACT_POLICY__DEFAULT?",
        ),
        (
            "PLANACT_POLICY_DENY",
            "*",
            "environment PLANACT_POLICY_DENY: there is no such setting. Did you mean PLANACT_POLICY__DENY?",
        ),
        (
            "PLANACT_X__Y",
            "1",
            "environment PLANACT_X__Y: there is no such setting. Variables are named PLANACT_TABLE__KEY.",
        ),
        (
            "PLANACT_SANDBOX__CALLS",
            "many",
            'environment PLANACT_SANDBOX__CALLS: [sandbox] calls = "many": should be a valid integer.',
        ),
        (
            "PLANACT_SANDBOX__SECONDS",
            "inf",
            "environment PLANACT_SANDBOX__SECONDS: [sandbox] seconds = inf: should be a finite number.",
        ),
        (
            "PLANACT_POLICY__DEFAULT",
            "perhaps",
            "environment PLANACT_POLICY__DEFAULT: [policy] default = \"perhaps\": should be 'allow', 'ask' or 'deny'.",
        ),
    ],
)
def test_a_wrong_variable_is_an_error_that_names_it(place: Place, variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(environ={variable: text})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[polcy]\n", "FILE: no table 'polcy'. Did you mean [policy]?"),
        ("pack = []", "FILE: no key 'pack'. Did you mean 'packs'?"),
        ('[policy]\ntrsut = ["a"]', "FILE: no key 'trsut' in [policy]. Did you mean 'trust'?"),
        (
            '[policy]\npacks = ["a"]',
            "FILE: no key 'packs' in [policy]. It belongs elsewhere: `packs` above the first [table].",
        ),
        ('deny = ["a"]', "FILE: no key 'deny'. It belongs elsewhere: `deny` in [policy]."),
        ("[results]\nzzz = 1", "FILE: no key 'zzz' in [results]. It has: raw."),
        ("[privacy]\nzzz = 1", "FILE: no key 'zzz' in [privacy]. It has no keys yet."),
        ("[policy]\nalso_deny = []", "FILE: no key 'also_deny' in [policy]. Did you mean 'deny'?"),
        ("policy = 3", "FILE: [policy] is a table of keys, not 3."),
        ('[policy]\nallow = "git.*"', 'FILE: [policy] allow = "git.*": should be a list.'),
        ("[policy]\nallow = [1]", "FILE: [policy] allow[0] = 1: should be a valid string."),
        (
            '[policy]\nallow = [" a"]',
            'FILE: [policy] allow[0] = " a": a pattern is "server" or "server.tool", with * for any characters.',
        ),
        ("[sandbox]\ncalls = true", "FILE: [sandbox] calls = true: should be a valid integer."),
        ('[sandbox]\ncalls = "7"', 'FILE: [sandbox] calls = "7": should be a valid integer.'),
        ("[sandbox]\nseconds = 0", "FILE: [sandbox] seconds = 0: should be greater than 0."),
        ("[sandbox]\nseconds = nan", "FILE: [sandbox] seconds = nan: should be a finite number."),
        ("[planner]\napi_key = 5", "FILE: [planner] api_key: should be a valid string."),
        (
            "[sandbox]\nclals = 1\nseconds = -1",
            (
                "FILE: [sandbox] seconds = -1: should be greater than 0.\n"
                "FILE: no key 'clals' in [sandbox]. Did you mean 'calls'?"
            ),
        ),
        ("a = 1\nb = = 2", "FILE: not valid TOML: Invalid value (at line 2, column 5)."),
        ("a = [\n1,\n", "FILE: not valid TOML: Invalid value (at line 3, the end)."),
        ("a = " + "[" * 50_000, "FILE: not valid TOML: it is nested too deeply."),
    ],
)
def test_a_typo_is_an_error_that_names_file_key_and_the_nearest_one(
    complaint: Callable[..., str], text: str, message: str
) -> None:
    assert complaint(text) == message


def test_a_file_that_is_no_text_names_the_line(place: Place) -> None:
    path = place.own / "planact.toml"
    path.write_bytes(b"# one\n# \xff\n")
    with pytest.raises(ConfigError) as caught:
        place.load()
    assert str(caught.value) == f"{path}: not valid TOML: it is not UTF-8 text (at line 2)."


def test_a_file_that_is_a_folder_is_an_error(place: Place) -> None:
    (place.own / "planact.toml").mkdir()
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        place.load()


def test_a_list_of_servers_that_is_a_folder_is_an_error(place: Place) -> None:
    (place.own / "mcp.json").mkdir()
    with pytest.raises(ConfigError, match=r"mcp\.json' is a folder, a pipe or a device, not a file"):
        place.load()


def test_a_byte_order_mark_is_no_mistake(place: Place) -> None:
    (place.own / "planact.toml").write_bytes(b"\xef\xbb\xbf[sandbox]\r\ncalls = 7\r\n")
    assert place.load().sandbox.calls == 7


def test_a_wrong_override_is_an_error(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"command line: no key 'cals' in \[sandbox\]\. Did you mean 'calls'\?"):
        place.load(overrides={"sandbox.cals": 1})


def test_a_secret_is_not_shown(place: Place) -> None:
    place.user('[planner]\napi_key = "hush"')
    assert "hush" not in repr(place.load())


scalars = st.one_of(st.integers(), st.booleans(), st.text("ab*.[]\"'\\\n", max_size=9), st.floats())
raw = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["policy", "trust", "packs", "sandbox", "calls", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(["packs", "policy.trust", "policy.default", "sandbox", "sandbox.calls"]), raw))
def test_any_override_gives_a_config_or_a_config_error(place: Place, overrides: dict[str, object]) -> None:
    try:
        config = place.load(overrides=overrides)
    except ConfigError as error:
        assert "command line" in str(error)  # noqa: PT017 - either way out is right
    else:
        assert isinstance(config, Config)


@pytest.mark.parametrize("variable", ["PLANACT_HOME", "PLANACT_CONFIG"])
def test_the_home_of_nobody_is_an_error_that_names_where_it_came_from(place: Place, variable: str) -> None:
    with pytest.raises(ConfigError, match=rf"{variable} is '~nosuchuser/x': there is no such user"):
        place.load(environ={variable: "~nosuchuser/x"})
