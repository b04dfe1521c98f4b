"""What a plan is told that imports a module which plans do not have."""

from __future__ import annotations

import difflib

from planact_server.sandbox.inside.facades import MODULES

_SYSTEM = "Plans have no files, processes or environment; a connected tool may do it: search_tools('...')."
_FILES = "Plans have no files; use a connected tool: search_tools('file')."
_PROCESSES = "Plans start no processes; use a connected tool."
_NETWORK = "Plans have no network; use a connected tool: search_tools('fetch')."
_INTERPRETER = "Plans have no interpreter access; print() writes to the output."
_TOGETHER = "Use asyncio.gather or parallel()."
_TIME = "Use datetime and zoneinfo."
_TEXT = "Use json or csv, or take the text apart with re."
_BYTES = "Use bytes, bytearray and int.from_bytes."
_TOOLS = "Tools are there without an import: server.tool(...); search_tools('words') finds them."

_BY_ADVICE = {
    _SYSTEM: "os platform getpass signal",
    _FILES: "glob shutil tempfile zipfile tarfile gzip zlib sqlite3 openpyxl",
    _PROCESSES: "subprocess pip",
    _NETWORK: "requests httpx aiohttp http urllib.request urllib.error urllib3 socket ssl smtplib ftplib websockets",
    _INTERPRETER: "sys importlib builtins gc ctypes weakref ast dis",
    _TOGETHER: "threading multiprocessing concurrent",
    _TIME: "dateutil pytz arrow pendulum",
    _TEXT: "yaml toml tomllib xml lxml bs4 configparser html.parser",
    _BYTES: "struct array",
    _TOOLS: "mcp tools functions planact default_api",
    "print() goes to the output.": "logging warnings",
    "Use print() and f-strings.": "tabulate rich tqdm",
    "Use lists with the modules math and statistics.": "numpy scipy sympy matplotlib",
    "Use lists of dicts with the modules csv, collections and statistics.": "pandas polars",
    "Use @dataclass, and checks of your own.": "pydantic attr attrs jsonschema",
    "Split paths as strings, or use a connected file tool: plans have no files.": "pathlib",
    "Use json.": "pickle marshal shelve",
    "Use collections.deque or asyncio.Queue.": "queue",
    "Use uuid.uuid4().": "secrets",
    'Format numbers with f-strings: f"{amount:,.2f}".': "locale",
    "Use isinstance(x, (int, float)).": "numbers",
    "Use str.encode and bytes.decode.": "codecs",
    "Use str.split and re.": "shlex fnmatch",
    "A plan has no command line; assign the values.": "argparse",
    "Use time.perf_counter().": "timeit",
    "Raise NotImplementedError in the base class.": "abc",
    "Write a class with __enter__ and __exit__, or try/finally.": "contextlib",
    "Use a class or a dict of your own.": "types",
    "str(error) has the message; uncaught errors are reported with their line.": "traceback",
    "describe(tool) shows a tool's signature.": "inspect",
}
_INSTEAD = {name: advice for advice, names in _BY_ADVICE.items() for name in names.split()}

_ALIKE = 0.81
"""How alike a name that is proposed has to be: `maths` and `math` are, `graphlib` and `hashlib` are not."""


def missing_module(name: str) -> tuple[str, str]:
    """Message and hint for an import that cannot work."""
    hint = _INSTEAD.get(name) or _INSTEAD.get(name.partition(".")[0])
    if hint is None:
        close = difflib.get_close_matches(name, MODULES, n=1, cutoff=_ALIKE)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        hint += "Available: " + " ".join(sorted({known.partition(".")[0] for known in MODULES} | {"asyncio"}))
        hint += ". Tools need no import."
    return f"No module named {name!r} in a plan.", hint
