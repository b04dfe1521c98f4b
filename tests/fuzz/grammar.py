"""Plans made of pieces of attacks: what a chooser picks becomes a source text.

Most pieces are allowed by themselves; the point is what they do together. Each statement binds `v0`, `v1`, … to its
value or to what it raised, and later statements use those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.hostile import CLASSES, MADE_BY_PLAN, TEXTS
from planact_server.sandbox.inside import attributes

if TYPE_CHECKING:
    from collections.abc import Sequence


class Chooser:
    """Picks by what some bytes say: those of hypothesis, of atheris, or of chance."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def below(self, bound: int) -> int:
        """Return a number from 0 to `bound` - 1: 0 where no bytes are left."""
        here, self._next = self._next, self._next + 2
        return int.from_bytes(self._data[here : self._next], "little") % bound


_TOO_LONG = frozenset(
    str.split(
        "itertools.count itertools.cycle itertools.repeat decimal.MAX_EMAX decimal.MAX_PREC decimal.MIN_EMIN "
        "time.time time.time_ns time.monotonic_ns time.perf_counter_ns time.process_time_ns id hash SystemExit "
        "time.mktime random.getrandbits parallel"
    )
)
"""With these, C code runs on for minutes, which is the affair of the host's deadline and not looked for here."""

_PLAIN_NAMES = str.split(
    "copy get items keys values append pop maps parents fget new_child func args keywords format format_map "
    "obj name value result exception set_result add_done_callback create_task later send throw close read write "
    "getvalue dialect reader writer pattern re string groups register fields default default_factory text kind size "
    "data formatter join split encode decode most_common elements subtract update_wrapper cache_info cache_parameters "
    "__name__ __doc__ __init__ __new__ __call__ __getitem__ __iter__ __or__ __ror__ __copy__ __deepcopy__ __eq__ "
    "__init_subclass__ __class_getitem__ __members__ __setattr__ __context__ __cause__ _fields _replace _make _x _link"
)
_ALL_NAMES = sorted({*_PLAIN_NAMES, *attributes.FORBIDDEN, *attributes.WATCHED, "__class__", "__globals__", "__dict__"})
_FIELDS = ("a", "format", "obj", "gi_frame", "_link", "_x", "maps", "data", "args", "mro", "__init__")
_BASES = (
    *(
        "object",
        "str",
        "dict",
        "tuple",
        "Exception",
        "AttributeError",
        "enum.Enum",
        "enum.Flag",
        "collections.abc.Set",
    ),
    *("collections.abc.Mapping", "typing.NamedTuple", "typing.Protocol", "typing.TypedDict", "functools.partial"),
    *("HostileBase", "HostileData", "property", "string.Template", "collections.ChainMap", "collections.UserDict"),
)
_DECORATORS = (
    *("dataclasses.dataclass", "dataclasses.dataclass(slots=True)", "dataclasses.dataclass(init=False)"),
    *("functools.total_ordering", "typing.runtime_checkable", "enum.unique", "functools.cache", "typing.final"),
)
_HOOKS = sorted(attributes.MAGIC)
_EXPRESSIONS = (
    "{atom}", "{atom}", "{known}", "{known}",
    "{known}.{plain}", "{expr}.{plain}", "getattr({expr}, {name!r})", "getattr({known}, {name!r}, None)",
    "operator.attrgetter({name!r})({expr})", "operator.methodcaller({plain!r}, {expr})({known})",
    "{atom}({expr})", "{atom}({expr}, {expr})", "{atom}({known}, {expr}, {expr})", "{known}({expr})", "{known}()",
    "{known}.{plain}({expr})", "{atom}.{plain}({expr})", "type({expr})", "type({known}).{plain}({expr}, {expr})",
    "{known}[{expr}]", "[{expr}, {known}]", "<<'a': {expr}, 'maps': {known}>>", "({expr}, {known})",
    "list(map({expr}, [{known}]))", "[x for x in {known}][:3]", "(lambda *a, **k: {known})", "next(iter({known}))",
    "{text!r}.format({expr}, {known})", "str.format({text!r}, {known})", "f'<<{known}!r>>'",
    "super(HostileBase, {known})", "property({expr}, {known})", "functools.partial({expr}, {known})",
    "functools.lru_cache({expr})", "copy.copy({expr})", "copy.deepcopy({expr}, <<>>)", "dataclasses.asdict({known})",
    "dataclasses.replace({known})", "enum.Enum('E', {expr})", "typing.TypedDict('T', {expr})", "iter({expr})",
    "collections.namedtuple('N', {expr})", "{known} == {expr}", "{known} | {expr}", "{known} in [{expr}]",
)  # fmt: skip
_STATEMENTS = (
    *["{v} = {expr}"] * 6,
    "class {v}({base}):\n    {field}: object\n    def {hook}(self, *a, **k): return note(self, {hook!r}, a, k)",
    "@{decorator}\nclass {v}({base}):\n    {field}: object = {known}\n    {field}: object",
    "@{decorator}\nclass {v}({base}, {base}):\n    {field} = {expr}\n    def m(self): return super().{plain}",
    """class {v}({base}):
    def __init_subclass__(cls, **k):
        match {known}:
            case cls(x): note(cls, 'match', (x,), k)""",
    "class {v}({known}): pass",
    "match {known}:\n    case {known}(): {v} = 1\n    case HostileProtocol(x): {v} = x\n    case _: {v} = {known}",
    """match {known}:
    case HostileData(name=x, value=y): {v} = [x, y]
    case <<'a': x, **y>>: {v} = [x, y]
    case [x, *y]: {v} = [x, y]
    case _: {v} = 0""",
    "match {expr}:\n    case {known}({plain}=x): {v} = x\n    case _: {v} = 0",
    "for {v} in {known}: break",
    "with {expr} as {v}: note(None, 'with', ({v},), <<>>)",
    "def {v}(x, y=None): return {known}",
    "{v} = {known}\n{v}.{plain} = {expr}",
    "setattr({known}, {name!r}, {expr})\n{v} = 0",
    "{v} = [x async for x in {known}]",
    "{v} = await {known}",
    "try: raise {expr}\nexcept Exception as e: {v} = [e, e.__context__, e.__cause__]",
)


class Grammar:
    """Makes plans out of the names that are exposed."""

    def __init__(self, exposed: Sequence[str]) -> None:
        self._atoms = [name for name in sorted(exposed) if name not in _TOO_LONG]
        self._made = [*MADE_BY_PLAN.values(), *CLASSES]

    def plan(self, chooser: Chooser) -> str:
        """Return the source of a plan."""
        statements: list[str] = []
        for number in range(1 + chooser.below(8)):
            text = self._filled(_STATEMENTS[chooser.below(len(_STATEMENTS))], chooser, number, depth=2)
            body = "\n".join(f"    {line}" for line in text.splitlines())
            statements.append(f"try:\n{body}\nexcept Exception as error:\n    v{number} = error")
        return "\n".join(statements)

    def _filled(self, template: str, chooser: Chooser, number: int, depth: int) -> str:
        """Fill a template; each place is chosen anew. `<<` and `>>` stand for braces."""
        text = ""
        rest = template
        while "{" in rest:
            before, _, rest = rest.partition("{")
            place, _, rest = rest.partition("}")
            name, _, conversion = place.partition("!")
            filled = self._place(name, chooser, number, depth)
            text += before + (repr(filled) if conversion else filled)
        return (text + rest).replace("<<", "{").replace(">>", "}")

    def _place(self, name: str, chooser: Chooser, number: int, depth: int) -> str:
        def one_of(options: Sequence[str]) -> str:
            return options[chooser.below(len(options))]

        match name:
            case "v":
                return f"v{number}"
            case "expr":
                template = one_of(_EXPRESSIONS) if depth else "{atom}"
                return self._filled(template, chooser, number, depth - 1)
            case "atom":
                return one_of(self._made if chooser.below(2) else self._atoms)
            case "known":
                return f"v{chooser.below(number)}" if number and chooser.below(3) else one_of(CLASSES)
            case "plain":
                return one_of(_PLAIN_NAMES)
            case "name":
                return one_of(_ALL_NAMES)
            case "text":
                return one_of(TEXTS)
            case "base":
                return one_of(_BASES)
            case "decorator":
                return one_of(_DECORATORS)
            case "field":
                return one_of(_FIELDS)
            case "hook":
                return one_of(_HOOKS)
            case _:
                raise AssertionError(name)
