"""Reading the standard `mcpServers` file: one bad entry costs that server, never the file."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from planact_bridge import jsonc
from planact_bridge.itself import INSIDE, serves_planact
from planact_bridge.specs import HttpSpec, OAuthClient, ServerSpec, StdioSpec
from planact_bridge.variables import VariableError, Variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from planact_tools import JSONObject, JSONValue

SERVER_MAPS = ("mcpServers", "servers")
"""Where hosts keep the entries: the common spelling, then that of VS Code."""

_STDIO_KEYS = frozenset({"command", "args", "env", "cwd"})
_HTTP_KEYS = frozenset({"url", "headers", "oauth"})
_COMMON_KEYS = frozenset({"type", "transport", "disabled", "enabled", "timeout"})
_HOST_KEYS = frozenset(
    {"name", "description", "icon", "version", "gallery", "trust", "autoApprove", "alwaysAllow", "dev"}
)
"""What other hosts keep in an entry for themselves."""

_URL_SPELLINGS = ("url", "serverUrl", "httpUrl")
_OAUTH_KEYS = frozenset({"clientId", "clientSecret", "clientMetadataUrl", "callbackPort"})
_STREAMABLE = frozenset({"http", "streamable-http", "streamableHttp", "streamable_http"})
_LIKELY_MILLISECONDS = 3600.0
_MOST_SECONDS = 1e9
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class McpProblem:
    """Something in the file that could not be used as it stands. The message is whole: it names server and file."""

    message: str
    server: str | None = None
    lost: bool = False
    """True where it cost the server; else it is a warning."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class McpFile:
    """What one file says."""

    path: Path
    servers: tuple[ServerSpec, ...] = ()
    problems: tuple[McpProblem, ...] = ()


class _EntryError(Exception):
    """This entry cannot be used; the message says why."""


class _OwnEntryError(_EntryError):
    """This entry starts Planact; nobody misses it."""


def read_mcp_json(
    path: Path, *, environ: Mapping[str, str], workspace: Path | None = None, content: bytes | None = None
) -> McpFile:
    """Return the servers of a file and everything that is wrong with it. Never raises for what the file says.

    `content` is what the file holds, where that was read already.
    """
    try:
        text = path.read_text(encoding="utf-8") if content is None else content.decode()
        value, twice = jsonc.parse(text)
    except OSError as error:
        return _unreadable(path, error.strerror or str(error))
    except UnicodeDecodeError:
        return _unreadable(path, "it is not UTF-8 text")
    except json.JSONDecodeError as error:
        return _unreadable(path, f"line {error.lineno}, column {error.colno}: {error.msg}")
    except ValueError as error:  # a number of more digits than Python reads
        return _unreadable(path, str(error))
    except RecursionError:
        return _unreadable(path, "it is nested too deeply")
    entries = _entries(value)
    if isinstance(entries, str):
        return _unreadable(path, entries)
    problems = [McpProblem(message=f"{path}: the key {key!r} appears twice; the last one counts") for key in twice]
    return _read_entries(path, entries, Variables(environ=environ, workspace=workspace), problems)


def why_unusable(name: str, entry: JSONObject, *, path: Path, environ: Mapping[str, str]) -> str | None:
    """Return why an entry would not become a server if it stood in this file; None where it would."""
    try:
        _read_entry(name, entry, path, Variables(environ=environ, workspace=path.parent))
    except (_EntryError, VariableError) as error:
        return str(error)
    return None


def _read_entries(path: Path, entries: JSONObject, variables: Variables, problems: list[McpProblem]) -> McpFile:
    servers: list[ServerSpec] = []
    for name, entry in entries.items():
        try:
            spec, warnings = _read_entry(name, entry, path, variables)
        except (_EntryError, VariableError) as error:
            lost = not isinstance(error, _OwnEntryError)
            problems.append(McpProblem(message=f"Server {name!r} in {path}: {error}", server=name, lost=lost))
            continue
        servers.append(spec)
        problems += [McpProblem(message=f"Server {name!r} in {path}: {warning}", server=name) for warning in warnings]
    return McpFile(path=path, servers=tuple(servers), problems=tuple(problems))


def _unreadable(path: Path, reason: str) -> McpFile:
    return McpFile(path=path, problems=(McpProblem(message=f"{path} cannot be used: {reason}", lost=True),))


def _entries(value: JSONValue) -> JSONObject | str:
    """Return the map of servers, or why there is none."""
    if not isinstance(value, dict):
        return f"it holds {_kind(value)} where an object belongs"
    for key in SERVER_MAPS:
        if key in value:
            entries = value[key]
            return entries if isinstance(entries, dict) else f"{key!r} is {_kind(entries)}, not an object of servers"
    close = next((key for key in value if key.casefold() in ("mcpservers", "mcp_servers", "mcp-servers")), None)
    close = close or next(iter(get_close_matches(SERVER_MAPS[0], value, n=1)), None)
    return f"it has no {SERVER_MAPS[0]!r}" + (f"; did you mean that by {close!r}?" if close else "")


def _read_entry(name: str, entry: JSONValue, path: Path, variables: Variables) -> tuple[ServerSpec, list[str]]:
    if not isinstance(entry, dict):
        raise _EntryError(f"it is {_kind(entry)} where an object belongs")
    if not name.strip():
        raise _EntryError("it has no name")
    if _has_half_a_character(name) or _has_half_a_character(json.dumps(entry, ensure_ascii=False)):
        raise _EntryError("it holds half a character (a lone surrogate)")
    url_key = next((key for key in _URL_SPELLINGS if key in entry), None)
    kind = entry.get("type", entry.get("transport"))
    if "command" in entry and url_key is None:
        spec, own = _read_stdio(name, entry, path, variables), _STDIO_KEYS
    elif url_key is not None and "command" not in entry:
        spec, own = _read_http(name, entry, url_key, path, variables), _HTTP_KEYS | {url_key}
    elif url_key is not None:
        raise _EntryError(f"it has both 'command' and {url_key!r}; keep one")
    else:
        raise _EntryError(f"it has neither 'command' nor 'url'{_meant('command', entry) or _meant('url', entry)}")
    return spec, [*_unknown_keys(entry, own | _COMMON_KEYS), *_mismatch(kind, spec), *_suspicious(spec)]


def _read_stdio(name: str, entry: JSONObject, path: Path, variables: Variables) -> StdioSpec:
    raw_command, raw_args = _text(entry, "command"), _texts(entry, "args")
    if not raw_command.strip():
        raise _EntryError("'command' is empty")
    command = _at_home(variables.expand(raw_command))
    args = tuple(variables.expand(arg) for arg in raw_args)
    env = {key: variables.expand(value) for key, value in _text_map(entry, "env").items()}
    if serves_planact(command, args) and INSIDE not in env and not _disabled(entry):
        raise _OwnEntryError("it starts Planact itself, which cannot be one of its own servers")
    cwd = _text(entry, "cwd") if entry.get("cwd") is not None else None
    return StdioSpec(
        name=name,
        command=_beside(path, command) if _is_relative_path(command) else command,
        args=args,
        env=env,
        cwd=None if cwd is None else _beside(path, _at_home(variables.expand(cwd))),
        origin=str(path),
        disabled=_disabled(entry),
        timeout=_seconds(entry),
        written=shlex.join((raw_command, *raw_args)) if (command, *args) != (raw_command, *raw_args) else None,
    )


def _read_http(name: str, entry: JSONObject, url_key: str, path: Path, variables: Variables) -> HttpSpec:
    raw_url = _text(entry, url_key)
    url = variables.expand(raw_url)
    if not url.startswith(("http://", "https://")):
        raise _EntryError(f"{url_key!r} is {raw_url!r}; it must begin with http:// or https://")
    return HttpSpec(
        name=name,
        url=url,
        transport="sse" if entry.get("type", entry.get("transport")) == "sse" else "streamable",
        headers={key: variables.expand(value) for key, value in _text_map(entry, "headers").items()},
        oauth=_oauth(entry, variables),
        origin=str(path),
        disabled=_disabled(entry),
        timeout=_seconds(entry),
        written=raw_url if raw_url != url else None,
    )


def _oauth(entry: JSONObject, variables: Variables) -> OAuthClient:
    written = entry.get("oauth")
    if written is not None and not isinstance(written, dict):
        raise _EntryError(f"'oauth' is {_kind(written)} where an object belongs")
    given = {
        key: variables.expand(_scalar(value, f"oauth[{key!r}]"))
        for key, value in (written or {}).items()
        if key in _OAUTH_KEYS
    }
    port = given.get("callbackPort", "0")
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise _EntryError(f"'callbackPort' is {port!r}; write a number up to {MAX_PORT}")
    url = given.get("clientMetadataUrl")
    if url is not None and not (url.startswith("https://") and url.removeprefix("https://").partition("/")[2]):
        raise _EntryError(f"'clientMetadataUrl' is {url!r}; it must begin with https:// and have a path")
    return OAuthClient(
        client_id=given.get("clientId"),
        client_secret=given.get("clientSecret"),
        client_metadata_url=url,
        callback_port=int(port),
    )


def _unknown_keys(entry: JSONObject, known: frozenset[str]) -> list[str]:
    nested = entry.get("oauth")
    return [
        *(
            f"the key {key!r} is not known and was ignored{_did_you_mean(key, known)}"
            for key in entry
            if key not in known and key not in _HOST_KEYS
        ),
        *(
            f"the key {key!r} in 'oauth' is not known and was ignored{_did_you_mean(key, _OAUTH_KEYS)}"
            for key in (nested if isinstance(nested, dict) else ())
            if key not in _OAUTH_KEYS
        ),
    ]


def _mismatch(kind: JSONValue, spec: ServerSpec) -> list[str]:
    fits = {"stdio", "local"} if isinstance(spec, StdioSpec) else _STREAMABLE | {"remote", "sse"}
    if kind is None or (isinstance(kind, str) and kind in fits):
        return []
    return [f"its type {kind!r} does not fit the rest of the entry and was ignored"]


def _suspicious(spec: ServerSpec) -> list[str]:
    if spec.timeout is None or spec.timeout <= _LIKELY_MILLISECONDS:
        return []
    return [f"'timeout' is in seconds, and {spec.timeout:g} are hours; milliseconds?"]


def _disabled(entry: JSONObject) -> bool:
    for key in ("disabled", "enabled"):
        value = entry.get(key)
        if value is not None and not isinstance(value, bool):
            raise _EntryError(f"{key!r} is {_kind(value)}; write true or false")
    return entry.get("disabled") is True or entry.get("enabled") is False


def _seconds(entry: JSONObject) -> float | None:
    value = entry.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_SECONDS:
        raise _EntryError(f"'timeout' is {value!r}; write seconds, for example 60")
    return float(value)


def _text(entry: JSONObject, key: str) -> str:
    value = entry[key]
    if not isinstance(value, str):
        raise _EntryError(f"{key!r} is {_kind(value)} where a text belongs")
    return value


def _texts(entry: JSONObject, key: str) -> list[str]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _EntryError(f"{key!r} is {_kind(value)} where a list of texts belongs")
    return [_scalar(item, f"an item of {key!r}") for item in value]


def _text_map(entry: JSONObject, key: str) -> dict[str, str]:
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _EntryError(f"{key!r} is {_kind(value)} where an object of texts belongs")
    return {name: _scalar(item, f"{key}[{name!r}]") for name, item in value.items()}


def _scalar(value: JSONValue, what: str) -> str:
    # Ports and flags are often written without quotes; every host takes them.
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise _EntryError(f"{what} is {_kind(value)} where a text belongs")


def _has_half_a_character(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_relative_path(command: str) -> bool:
    return command.startswith(("./", "../", ".\\", "..\\"))


def _at_home(text: str) -> str:
    return os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _beside(path: Path, relative: str) -> str:
    return str((path.parent / relative).absolute())


def _did_you_mean(key: str, among: Mapping[str, JSONValue] | frozenset[str]) -> str:
    close = get_close_matches(key, sorted(among), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _meant(key: str, entry: JSONObject) -> str:
    close = get_close_matches(key, sorted(entry), n=1)
    return f"; did you mean {key!r} by {close[0]!r}?" if close else ""


def _kind(value: JSONValue) -> str:
    if value is None:
        return "null"
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]
