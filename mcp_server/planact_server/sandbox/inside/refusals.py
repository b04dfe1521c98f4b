"""What a plan is told that may not do something: the construct in its author's words, and what to write instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast

_INSPECTION = "Frames, generators and coroutines cannot be inspected: work with what they return and yield."
_FUNCTION = "Of a function, f.__name__ and f.__doc__ can be read. Keep what else you need in variables."
_FAMILY = "Use isinstance(x, A) and issubclass(A, B); keep a list of your classes yourself."
_ERROR = "str(error) has the message, `raise ... from error` keeps the cause; uncaught errors come with their line."
_COPY = "Use copy.deepcopy(x), or json for text."
_TYPE = "Annotations are for readers; keep in variables what the plan needs to know. dataclasses.fields(x) has names."
_FILES = "Plans have no files; leave it out."
_MODULE = "A plan is no module that others import; leave it out."
_PROPERTY = "Use @property, with a setter where the value can be set."
_CHECK = "Write a function that checks, or inherit from a class that the check can name."

_ANOTHER_NAME = "Choose a name without underscores at both ends."

_INSTEAD = {
    "__class__": "Use type(x).",
    "__dict__": "On instances of your own classes use vars(x) to read and setattr(x, name, value) to write.",
    "__builtins__": "Builtins are there without a prefix.",
    "__import__": "Use an import statement.",
    "__file__": _FILES,
    "__path__": _FILES,
    "__traceback__": _ERROR,
    "with_traceback": _ERROR,
    "_value_": "Use member.value.",
    "_name_": "Use member.name.",
    "__getattr__": "Define the attributes or methods by name, or a method such as get(name).",
    "__getattribute__": "Define the attributes or methods by name, or a method such as get(name).",
    "__setattr__": "Use @property with a setter, or @dataclass(frozen=True).",
    "__delattr__": "Use @property with a deleter.",
    "__del__": "Write a context manager (__enter__ and __exit__), or try/finally.",
    "__prepare__": "Use a class decorator.",
    "__slots__": "In a class body give it a tuple of names that are written out.",
    "__match_args__": "In a class body give it a tuple of names that are written out.",
    "__doc__": "Write a docstring, or hold the text in a variable.",
    "__name__": "Use @functools.wraps(f) on what a decorator returns.",
    "__qualname__": "Use @functools.wraps(f) on what a decorator returns.",
    "__debug__": "Leave it out; assert always checks.",
    **dict.fromkeys(str.split("__globals__ __code__ __closure__ __defaults__ __kwdefaults__"), _FUNCTION),
    **dict.fromkeys(str.split("__self__ __func__ __wrapped__ __text_signature__ __signature__"), _FUNCTION),
    **dict.fromkeys(str.split("__mro__ mro __bases__ __base__ __subclasses__ __subclasshook__"), _FAMILY),
    **dict.fromkeys(str.split("__reduce__ __reduce_ex__ __getstate__ __setstate__ __getnewargs__"), _COPY),
    **dict.fromkeys(str.split("__annotations__ __args__ __origin__ __parameters__ __orig_bases__"), _TYPE),
    **dict.fromkeys(str.split("__all__ __version__ __author__ __package__ __spec__ __loader__ __module__"), _MODULE),
    **dict.fromkeys(str.split("__get__ __set__ __delete__ __set_name__"), _PROPERTY),
    **dict.fromkeys(str.split("__instancecheck__ __subclasscheck__"), _CHECK),
}

_CONSTRUCTS = {
    "Starred": ("Unpacking in a comprehension", "Write a second `for` in the comprehension."),
}


def name(spelled: str) -> tuple[str, str]:
    """Message and advice for a variable, parameter, function or class that cannot be called this."""
    hint = _INSTEAD.get(spelled) or _ANOTHER_NAME
    return f"The name {spelled!r} is not available in a plan.", hint


def too_long(spelled: str) -> tuple[str, str]:
    """Message and advice for a name that the host would not take."""
    return f"The name {spelled[:20]!r}… has {len(spelled)} characters.", "Choose a shorter name."


def attribute(spelled: str) -> tuple[str, str]:
    """Message and advice for `x.spelled`."""
    return f"Attribute {spelled!r} is not available in a plan.", instead_of(spelled)


def instead_of(attribute: str) -> str:
    """What to write instead of reading this attribute."""
    if attribute in _INSTEAD:
        return _INSTEAD[attribute]
    if not attribute.startswith("_"):
        return _INSPECTION
    if not attribute.endswith("_"):
        return "Names that begin with an underscore are for objects of your own classes; on others use a public one."
    if attribute.startswith("__") and attribute.endswith("__"):
        return "Names like __this__ belong to Python: use the operator or the builtin that stands for it."
    return "Names like _this_ belong to libraries: use a public one."


def stored_attribute(spelled: str) -> tuple[str, str]:
    """Message and advice for `x.spelled = ...` and `del x.spelled`."""
    hint = _INSTEAD.get(spelled) or _ANOTHER_NAME
    return f"Attribute {spelled!r} cannot be set in a plan.", hint


def augmented_attribute(spelled: str) -> tuple[str, str]:
    """Message and advice for `x.spelled += ...`."""
    hint = f"Write `x.{spelled} = x.{spelled} + ...`."
    return f"`x.{spelled} += ...` is not available in a plan.", hint


def star_import(module: str) -> tuple[str, str]:
    """Message and advice for `from module import *`."""
    hint = f"Write `import {module}`, or `from {module} import` and the names that you use."
    return "`import *` is not available in a plan.", hint


def construct(node: ast.AST) -> tuple[str, str]:
    """Message and advice for syntax that plans do not have: what a newer Python may bring."""
    kind = type(node).__name__
    what, hint = _CONSTRUCTS.get(kind, (f"This syntax ({kind})", "Write it with functions, loops and conditions."))
    return f"{what} is not available in a plan.", hint


# ---- what Python itself refuses --------------------------------------------------------------------------------------

_VERSION = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
_BY_MESSAGE = {
    "f-string": f"In {_VERSION} use other quotes inside the braces than around the text, or a variable.",
    "too many nested parentheses": "Assign the inner parts to variables first.",
    "expected ':'": "End the line with a colon.",
    "'return' outside function": "A plan is a script: end it with the value as an expression instead of `return`.",
    "'yield' outside function": "Put it into a function, or collect the values in a list.",
    "outside async function": "Define the function around it with `async def`.",
    "outside loop": "Put it into a loop; `if` and `else` need none.",
    "not properly in loop": "Put it into a loop; `if` and `else` need none.",
    "never closed": "Close the bracket.",
    "does not match opening": "Close the brackets in the order in which they were opened.",
    "unmatched": "Remove the bracket, or open it before.",
    "unterminated": "Close the quotes; text over several lines needs triple quotes.",
    "indent": "Indent every block by four spaces, and nothing else.",
    "unexpected EOF": "The plan stops in the middle: send the whole of it.",
    "invalid character": "Use plain quotes, dashes and spaces.",
    "invalid non-printable character": "Use plain quotes, dashes and spaces.",
    "null bytes": "Remove the null characters.",
    "nonlocal": "Assign the variable in the function around this one, before this one.",
    "global declaration": "Write `global` as the first line of the function.",
    "Did you mean": "Write it as Python proposes.",
    "Perhaps you forgot a comma": "Write a comma between the two, or an operator.",
    "cannot assign to": "On the left of `=` there can be a name, an item or an attribute; `==` compares.",
    "walrus": "Assign in a statement of its own.",
    "assignment expression": "Assign in a statement of its own.",
    "keyword argument repeated": "Give each argument once.",
    "duplicate argument": "Give each parameter another name.",
    "too many statically nested": "Move inner blocks into functions.",
}
_IS_NEWER = sys.version_info >= (3, 12)


def syntax_hint(message: str, line: str, source: str) -> str:
    """What to do about Python's own objection. Names what models usually did wrong there."""
    if "```" in source:
        return "Send the code alone, without ``` fences."
    if line.startswith(("!", "%", "$ ", "pip ")):
        return "A plan is Python alone; nothing can be installed or started."
    words = line.replace("async def", "def").split()
    if not _IS_NEWER and words[:1] == ["type"] and "=" in line:
        return f"{_VERSION} has no `type` statement: write `Name = ...`."
    if not _IS_NEWER and words[:1] in (["def"], ["class"]) and "[" in words[1].partition("(")[0]:
        return f"{_VERSION} has no type parameters in brackets: leave them out, or use typing.TypeVar."
    found = (hint for part, hint in _BY_MESSAGE.items() if part in message)
    return next(found, f"A plan is {_VERSION}: nothing else can be in it, explanations only as comments.")
