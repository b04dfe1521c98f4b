"""What Monty knows of Python, as far as it has to be known before a plan runs; a test holds it to the real one."""

from __future__ import annotations

_BUILTINS = """
    ArithmeticError AssertionError AttributeError BaseException Ellipsis Exception FileExistsError
    FileNotFoundError ImportError IndexError IsADirectoryError KeyError KeyboardInterrupt LookupError
    MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplemented NotImplementedError OSError
    OverflowError PermissionError RecursionError RuntimeError StopIteration SyntaxError SystemExit TimeoutError
    TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError ValueError ZeroDivisionError abs all any
    bin bool bytes chr complex dict divmod enumerate eval exec filter float format frozenset getattr hasattr
    hash hex id int isinstance iter len list locals map max min next object oct open ord pow print property
    range repr reversed round set setattr slice sorted str sum tuple type zip
"""

BUILTINS = frozenset(_BUILTINS.split())
"""Python's builtins that Monty has, whether or not a plan may use them."""

_MODULES = """
    asyncio base64 binascii bisect collections copy csv dataclasses datetime decimal functools hashlib itertools
    json math random re time typing unicodedata
"""

MODULES = frozenset(_MODULES.split())
"""The modules of a plan that Monty has."""

HELPERS = ("search_tools", "describe", "progress", "read_resource", "ask_model", "call_tool")
"""Functions of a plan that are answered here. `parallel` is Monty's own, see `PRELUDE`."""

TOOL_ERROR = RuntimeError
"""What a failed call raises: Monty cannot make an exception class, so that `ToolError` is a name for this one."""

WEIGHT = "__planact_weight"
"""A function of every session that no plan can name: about how many values there are in one, or more than `most`."""

RESULT = "__planact_result"
"""Where a plan's last value lies, until it is known whether it can be sent; no plan can name it either."""

PRELUDE = f"""
ToolError = RuntimeError
{RESULT} = {{}}
def parallel(*work):
    return [one() for one in (work if len(work) != 1 or type(work[0]).__name__ == "function" else work[0])]
def {WEIGHT}(
    value, most, isinstance=isinstance, len=len, text=(str, bytes), dict=dict, rows=(list, tuple, set, frozenset)
):
    weight = 0
    level = [value]
    while level:
        inner = []
        for part in level:
            weight += 1
            if isinstance(part, text):
                weight += len(part) // 128
            elif isinstance(part, dict):
                weight += 2 * len(part)
                if weight > most:
                    return weight
                inner.extend(part.keys())
                inner.extend(part.values())
            elif isinstance(part, rows):
                weight += len(part)
                if weight > most:
                    return weight
                inner.extend(part)
        level = inner
    return weight
"""
"""Defines what every session has. The host cannot call a plan's functions, so `parallel` does one after the other."""

OWN_NAMES = frozenset({"parallel", "ToolError", "__name__", "__file__"})

KNOWN = frozenset({*BUILTINS, *HELPERS, *OWN_NAMES})
"""Every name that a plan has before it binds any."""
