"""Reading `mcp.json`: everything hosts write, and every mistake named with its file and server."""

import json
from pathlib import Path

import pytest

from planact_bridge import HttpSpec, McpFile, OAuthClient, StdioSpec, read_mcp_json


def read(tmp_path: Path, text: str, workspace: Path | None = None, **environ: str) -> McpFile:
    path = tmp_path / "mcp.json"
    path.write_text(text, encoding="utf-8")
    return read_mcp_json(path, environ=environ, workspace=workspace)


def messages(file: McpFile) -> list[str]:
    return [problem.message.replace(str(file.path), "FILE") for problem in file.problems]


def test_both_kinds_of_entry_are_read(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        """{"mcpServers": {
          "git": {"command": "uvx", "args": ["mcp-server-git", 8], "env": {"PORT": 1}, "timeout": 60},
          "web": {"type": "http", "url": "https://host/mcp", "headers": {"A": "b"}, "disabled": true}
        }}""",
    )
    origin = str(tmp_path / "mcp.json")
    assert file == McpFile(
        path=tmp_path / "mcp.json",
        servers=(
            StdioSpec(
                name="git", command="uvx", args=("mcp-server-git", "8"), env={"PORT": "1"}, timeout=60.0, origin=origin
            ),
            HttpSpec(name="web", url="https://host/mcp", headers={"A": "b"}, disabled=True, origin=origin),
        ),
    )


def test_comments_trailing_commas_and_the_spelling_of_vs_code_are_understood(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        """\ufeff// ours
        {"servers": { /* the
          one */ "a": {"command": "x", "args": ["//not", "/* a */ comment",],},
        },}""",
    )
    assert [(spec.name, spec.args) for spec in file.servers] == [("a", ("//not", "/* a */ comment"))]  # type: ignore[union-attr]
    assert file.problems == ()


def test_variables_are_replaced_everywhere(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        """{"mcpServers": {
          "a": {"command": "${BIN:-python}", "args": ["${workspaceFolder}/x", "${env:WHO}"], "env": {"T": "${TOKEN}"}},
          "b": {"url": "https://${HOST}/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}
        }}""",
        workspace=Path("/project"),
        WHO="me",
        TOKEN="s3cret",
        HOST="h",
    )
    stdio, http = file.servers
    assert isinstance(stdio, StdioSpec)
    assert isinstance(http, HttpSpec)
    assert (stdio.command, stdio.args, stdio.env) == ("python", ("/project/x", "me"), {"T": "s3cret"})
    assert (http.url, http.headers) == ("https://h/mcp", {"Authorization": "Bearer s3cret"})


def test_an_unset_variable_costs_its_server_only_and_is_named(tmp_path: Path) -> None:
    file = read(
        tmp_path, '{"mcpServers": {"bad": {"command": "x", "env": {"K": "${NOPE}"}}, "good": {"command": "y"}}}'
    )
    assert [spec.name for spec in file.servers] == ["good"]
    assert messages(file) == [
        "Server 'bad' in FILE: the variable NOPE is not set; set it, or give a default: ${NOPE:-…}"
    ]
    assert (file.problems[0].server, file.problems[0].lost) == ("bad", True)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[]", "it is a list where an object belongs"),
        ("{}", "it has neither 'command' nor 'url'"),
        ('{"comand": "x"}', "it has neither 'command' nor 'url'; did you mean 'command' by 'comand'?"),
        ('{"command": "x", "url": "http://h"}', "it has both 'command' and 'url'; keep one"),
        ('{"command": ["x"]}', "'command' is a list where a text belongs"),
        ('{"command": " "}', "'command' is empty"),
        ('{"command": "x", "args": "y"}', "'args' is a text where a list of texts belongs"),
        ('{"command": "x", "args": [null]}', "an item of 'args' is null where a text belongs"),
        ('{"command": "x", "env": {"A": []}}', "env['A'] is a list where a text belongs"),
        ('{"command": "x", "timeout": "60"}', "'timeout' is '60'; write seconds, for example 60"),
        ('{"command": "x", "timeout": 0}', "'timeout' is 0; write seconds, for example 60"),
        ('{"command": "x", "timeout": 1e300}', "'timeout' is 1e+300; write seconds, for example 60"),
        ('{"command": "x", "args": ["\\ud800"]}', "it holds half a character (a lone surrogate)"),
        ('{"command": "x", "disabled": "no"}', "'disabled' is a text; write true or false"),
        ('{"url": "host/mcp"}', "'url' is 'host/mcp'; it must begin with http:// or https://"),
        ('{"command": "${workspaceFolder}/x"}', "${workspaceFolder} has no value: no folder is open"),
        (
            '{"command": "${input:key}"}',
            "${input:key} is not understood; write ${VAR}, ${VAR:-default}, ${env:VAR} or ${workspaceFolder}",
        ),
    ],
)
def test_a_mistake_in_an_entry_is_explained(tmp_path: Path, entry: str, message: str) -> None:
    file = read(tmp_path, f'{{"mcpServers": {{"s": {entry}, "good": {{"command": "y"}}}}}}')
    assert messages(file) == [f"Server 's' in FILE: {message}"]
    assert [spec.name for spec in file.servers] == ["good"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{"command": "x", "arg": []}', "the key 'arg' is not known and was ignored; did you mean 'args'?"),
        ('{"command": "x", "headers": {}}', "the key 'headers' is not known and was ignored"),
        ('{"command": "x", "type": "http"}', "its type 'http' does not fit the rest of the entry and was ignored"),
        ('{"command": "x", "timeout": 30000}', "'timeout' is in seconds, and 30000 are hours; milliseconds?"),
    ],
)
def test_what_looks_like_a_mistake_is_a_warning_and_the_server_stays(tmp_path: Path, entry: str, message: str) -> None:
    file = read(tmp_path, f'{{"mcpServers": {{"s": {entry}}}}}')
    assert messages(file) == [f"Server 's' in FILE: {message}"]
    assert [spec.name for spec in file.servers] == ["s"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{\n  // note\n  "mcpServers": {\n    oops\n',
            "line 4, column 5: Expecting property name enclosed in double quotes",
        ),
        ("[]", "it holds a list where an object belongs"),
        ("{}", "it has no 'mcpServers'"),
        ('{"mcpservers": {}}', "it has no 'mcpServers'; did you mean that by 'mcpservers'?"),
        ('{"mcpServers": []}', "'mcpServers' is a list, not an object of servers"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, text: str, reason: str) -> None:
    file = read(tmp_path, text)
    assert messages(file) == [f"FILE cannot be used: {reason}"]
    assert file.servers == ()


def test_a_missing_file_and_one_that_is_no_text_are_problems_not_exceptions(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": 1}')
    found = [read_mcp_json(tmp_path / name, environ={}).problems[0].message for name in ("none.json", "latin.json")]
    assert found == [
        f"{tmp_path / 'none.json'} cannot be used: No such file or directory",
        f"{tmp_path / 'latin.json'} cannot be used: it is not UTF-8 text",
    ]


def test_a_name_that_is_given_twice_is_reported(tmp_path: Path) -> None:
    file = read(tmp_path, '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}')
    assert messages(file) == ["FILE: the key 'a' appears twice; the last one counts"]
    assert file.servers[0].identity == f"y ({file.path})"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    spec = read(tmp_path, '{"mcpServers": {"a": {"command": "./run", "cwd": "sub", "args": ["./left"]}}}').servers[0]
    assert isinstance(spec, StdioSpec)
    assert (spec.command, spec.cwd, spec.args) == (str(tmp_path / "run"), str(tmp_path / "sub"), ("./left",))


def test_an_identity_has_command_and_file_but_neither_name_nor_secrets() -> None:
    one = StdioSpec(name="a", command="npx", args=("-y", "pkg"), env={"KEY": "1"}, origin="/f")
    assert one.identity == "npx -y pkg (/f)"
    assert (
        StdioSpec(name="b", command="npx", args=("-y", "pkg"), env={"KEY": "2"}, origin="/f").identity == one.identity
    )
    assert StdioSpec(name="a", command="npx", args=("-y", "pkg"), origin="/g").identity != one.identity
    assert HttpSpec(name="a", url="https://h/mcp", headers={"A": "b"}, origin="/f").identity == "https://h/mcp (/f)"


def test_a_secret_in_the_command_line_changes_the_identity_without_showing_in_it(tmp_path: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "x", "args": ["--key", "${KEY}"]}}}'
    first, second = (read(tmp_path, text, KEY=key).servers[0].identity for key in ("s3cret", "other"))
    assert first != second
    assert first.startswith("x --key '${KEY}' #")
    assert "s3cret" not in first


def test_the_older_transport_is_a_matter_of_the_type(tmp_path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"mcpServers": {"old": {"type": "sse", "url": "http://h/sse"}, "new": {"url": "http://h/mcp"}}}')
    file = read_mcp_json(path, environ={})
    assert file.problems == ()
    assert [spec.transport for spec in file.servers] == ["sse", "streamable"]


def test_who_we_are_at_an_authorization_server_may_be_said(tmp_path) -> None:
    path = tmp_path / "mcp.json"
    oauth = {"clientId": "c", "clientSecret": "${SECRET}", "callbackPort": 7777}
    path.write_text(json.dumps({"mcpServers": {"s": {"url": "https://h/mcp", "oauth": oauth}}}))
    file = read_mcp_json(path, environ={"SECRET": "s3cret"})
    assert file.problems == ()
    assert file.servers[0].oauth == OAuthClient(client_id="c", client_secret="s3cret", callback_port=7777)
    assert "s3cret" not in repr(file.servers[0].oauth)


@pytest.mark.parametrize(
    ("oauth", "message"),
    [
        ({"callbackPort": "x"}, "'callbackPort' is 'x'; write a number up to 65535"),
        (
            {"clientMetadataUrl": "http://h"},
            "'clientMetadataUrl' is 'http://h'; it must begin with https:// and have a path",
        ),
        ("c", "'oauth' is a text where an object belongs"),
    ],
)
def test_what_is_wrong_with_it_costs_that_server(tmp_path, oauth: object, message: str) -> None:
    assert problems_with_oauth(tmp_path, oauth) == (0, [message])


def test_what_other_hosts_keep_there_is_ignored_with_a_word(tmp_path) -> None:
    message = "the key 'client_id' in 'oauth' is not known and was ignored; did you mean 'clientId'?"
    assert problems_with_oauth(tmp_path, {"client_id": "c"}) == (1, [message])


def problems_with_oauth(folder: Path, oauth: object) -> tuple[int, list[str]]:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"s": {"url": "https://h/mcp", "oauth": oauth}}}))
    file = read_mcp_json(path, environ={})
    return len(file.servers), [str(problem).removeprefix(f"Server 's' in {path}: ") for problem in file.problems]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            '{"command": "x", "type": ["stdio"]}',
            "its type ['stdio'] does not fit the rest of the entry and was ignored",
        ),
        ('{"command": "~nosuchuser/x"}', None),
        ('{"command": "x", "cwd": "~nosuchuser/x"}', None),
    ],
)
def test_what_is_odd_in_an_entry_costs_nothing(tmp_path: Path, entry: str, message: str | None) -> None:
    file = read(tmp_path, f'{{"mcpServers": {{"s": {entry}}}}}')
    assert messages(file) == ([] if message is None else [f"Server 's' in FILE: {message}"])
    assert [spec.name for spec in file.servers] == ["s"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'{{"mcpServers": {{"s": {{"command": "x", "timeout": {"9" * 5000}}}}}}}', "Exceeds the limit"),
        ('{"mcpServers": {"\\ud800": {"command": "x"}}}', "half a character"),
    ],
)
def test_no_file_raises(tmp_path: Path, text: str, reason: str) -> None:
    file = read(tmp_path, text)
    assert file.servers == ()
    assert reason in messages(file)[0]


@pytest.mark.parametrize(
    "words",
    [
        ["/opt/bin/planact", "serve"],
        ["C:\\Apps\\planact.exe", "serve", "--config", "x.toml"],
        ["uvx", "planact", "serve"],
        ["uvx", "--from", "planact[monty]", "planact@latest", "serve"],
        ["uv", "run", "--directory", "/x", "planact", "serve"],
        ["pipx", "run", "planact", "serve"],
        ["/usr/bin/python3.12", "-P", "-m", "planact_server", "serve"],
    ],
)
def test_planact_itself_is_left_out_and_said(words: list[str], tmp_path: Path) -> None:
    entry = {"command": words[0], "args": words[1:]}
    file = read(tmp_path, json.dumps({"mcpServers": {"pa": entry, "off": {**entry, "disabled": True}}}))
    assert [spec.name for spec in file.servers] == ["off"]
    assert messages(file) == [
        "Server 'pa' in FILE: it starts Planact itself, which cannot be one of its own servers",
    ]
    assert not file.problems[0].lost


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "planact", "args": ["packs", "serve", "calendar"]},
        {"command": "npx", "args": ["tool", "--project", "planact", "serve"]},
        {"command": "planact", "args": ["serve"], "env": {"PLANACT_INSIDE": ""}},
    ],
)
def test_a_pack_another_program_and_what_is_meant_are_servers(entry: dict[str, object], tmp_path: Path) -> None:
    file = read(tmp_path, json.dumps({"mcpServers": {"a": entry}}))
    assert [spec.name for spec in file.servers] == ["a"]
    assert file.problems == ()
