"""A worker in the real jail that runs plans with some rules of the language taken away, as the plan's first line says.

    python -I -S unguarded.py LAUNCH zygote|spawned SETTINGS

LAUNCH is the file that the product starts its own workers with. The first line of each plan is

    # without: NAME; NAME

and `RULES` says what stands behind a name. Everything else is the product. A worker serves one such plan only.
"""

import ast
import builtins
import importlib
import runpy
import sys

INSIDE = "planact_server.sandbox.inside"
FIRST_LINE = "# without: "


def part(name):
    """A module of the worker."""
    return sys.modules[f"{INSIDE}.{name}"]


def replace(session, original, substitute):
    """Put something in the place of a function everywhere that the worker knows it."""
    tables = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("planact_server.")]
    tables += [session._builtins, *(vars(module) for module in part("facades").MODULES.values())]
    found = 0
    for table in tables:
        for name, value in list(table.items()):
            if value is original:
                table[name] = substitute
                found += 1
    if not found:
        raise LookupError(f"{original!r} is nowhere")


def take_off(module, name, substitute):
    """The rule that `name` in `module` keeps."""
    return lambda session: replace(session, getattr(part(module), name), substitute)


def everything(*rules):
    def remove(session):
        for rule in rules:
            rule(session)

    return remove


def set_name(module, name, value):
    return lambda _: setattr(part(module), name, value)


def set_method(name, substitute):
    return lambda _: setattr(part("policy").Policy, name, substitute)


def allow_message(beginning):
    """Let the policy overlook one of its objections."""

    def remove(_):
        policy = part("policy").Policy
        original = policy.refuse

        def refuse(self, node, message, hint=None):
            if not message.startswith(beginning):
                original(self, node, message, hint)

        policy.refuse = refuse

    return remove


def real_modules(*, any_name):
    """Imports that give the modules themselves: those that stand-ins exist for, or all that can be found."""

    def remove(session):
        known = part("facades").MODULES

        def find(name):
            if name not in known and not any_name:
                raise ModuleNotFoundError(f"No module named {name!r} in a plan.", name=name)
            return importlib.import_module(name)

        def import_module(name, leaf):
            module = find(name)
            return module if leaf else find(name.partition(".")[0])

        def import_name(name, attribute):
            return getattr(find(name), attribute)

        session._builtins["import."] = import_module
        session._builtins["import-from."] = import_name
        if any_name:
            part("checks").missing_imports = lambda *_: ()

    return remove


def real_builtins(*names):
    """Python's own functions of these names; all that plans do not have, where none is named."""

    def remove(session):
        chosen = names or [name for name in vars(builtins) if name not in session._builtins or name == "__import__"]
        session._builtins.update({name: getattr(builtins, name) for name in chosen})
        session._own_builtins |= set(chosen)
        part("language").UNAVAILABLE = {}

    return remove


def original_of(table, module, *names):
    """Library functions in place of those that a stand-in has of its own."""

    def remove(session):
        for name in names:
            vars(part("facades").MODULES[table])[name] = getattr(importlib.import_module(module), name)

    return remove


def unsealed(_):
    sealed = part("sealed").Sealed
    sealed.__call__ = type.__call__


def copied_whole(_):
    part("language")._SealedKinds.get = dict.get


def visit_handler(self, node):
    """An `except:` that stays one."""
    return self.node_contents_visit(node)


def is_class_option(node):
    match node:
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__match_args__")]):
            return True
        case _:
            return False


def build_class(body, name, /, *bases, **options):
    made = builtins.__build_class__(body, name, *bases, **options)
    if isinstance(made, type):
        part("attributes").plan_classes.add(made)
    return made


def loose_mark(value, read):
    """Take the mark alone for a handle."""
    return part("sealed").make(part("handles").LargeText, value, read) if value["$planact"] == "text" else value


RULES = {
    # What the policy looks at before a plan runs, and what the guard asks when it reads.
    "attribute names": everything(
        take_off("attributes", "judge", lambda name: "plain"),
        take_off("attributes", "_checked", lambda name: name),
    ),
    "private attributes": everything(
        take_off("attributes", "_may_read_private", lambda target, name: True),
        set_name("attributes", "_NEVER", ()),
        set_name("attributes", "_MADE_ONCE", ()),
    ),
    "attribute names are text": take_off("attributes", "_checked", lambda name: name),
    "attribute writes": take_off("attributes", "writable", lambda target: target),
    "names": everything(
        set_method("check_name", lambda self, node, name, allow_magic_methods=False: None),
        take_off("attributes", "is_ordinary_name", lambda name: True),
    ),
    "syntax": set_method("not_allowed", lambda self, node: self.node_contents_visit(node)),
    "imports": real_modules(any_name=True),
    "star imports": allow_message("`import *`"),
    "stand-ins for modules": real_modules(any_name=False),
    "left-out builtins": real_builtins(),
    "one-argument type": real_builtins("type"),
    "attribute functions": real_builtins("getattr", "hasattr", "setattr", "delattr"),
    "vars and dir": real_builtins("vars", "dir"),
    "attrgetter": original_of("operator", "operator", "attrgetter", "methodcaller"),
    "wraps": original_of("functools", "functools", "wraps", "update_wrapper"),
    "caches": original_of("functools", "functools", "lru_cache", "cache"),
    # Strings that read attributes.
    "format strings": everything(
        take_off("attributes", "_is_harmless", lambda template: True),
        take_off("attributes", "format_of", lambda target: target.format),
        take_off("attributes", "_watched", getattr),
        set_method("_is_harmless_template", lambda self, template: True),
    ),
    "objects of exceptions": take_off("attributes", "_watched", getattr),
    "reads of augmented targets": allow_message("`x."),
    # Classes and patterns.
    "keyword patterns": set_method("visit_MatchClass", lambda self, node: self.node_contents_visit(node)),
    "class options": take_off("class_options", "is_class_option", is_class_option),
    "positional patterns": everything(
        take_off("classes", "_claims_others", lambda kind: False),
        take_off("classes", "_are_plain", lambda names: True),
    ),
    "methods of their class": set_name("foreign", "insisting", lambda kind, name, function: function),
    "base classes": take_off("classes", "check_base", lambda base: None),
    "field names": everything(
        take_off("classes", "_check_names", lambda names, parents: None),
        take_off("classes", "_check_inherited_fields", lambda bases: None),
    ),
    "metaclasses": everything(allow_message("metaclass="), take_off("classes", "build_class", build_class)),
    "dataclass": original_of("dataclasses", "dataclasses", "dataclass"),
    "fields of other classes": take_off("classes", "_is_shared", lambda value, name: False),
    "documented dataclasses": take_off("classes", "_document", lambda plain, names: None),
    "own classes": take_off("classes", "_is_own", lambda value: True),
    "names of Enum members": take_off("attributes", "enum_members", lambda names: names),
    # The worker's own objects.
    "sealed classes": unsealed,
    "copies": copied_whole,
    "super of own classes": take_off("language", "super_in_plan", super),
    "schedulers by identity": take_off(
        "plan_builtins", "_is_one_of", lambda function, functions: function in frozenset(functions)
    ),
    "groups of patterns": take_off("attributes", "_watched", getattr),
    "marks of handles": take_off("handles", "from_wire", loose_mark),
    # What stops a plan.
    "BaseException": everything(real_builtins("BaseException"), set_method("visit_ExceptHandler", visit_handler)),
    "size of the tree": take_off("source", "_bound_size", lambda tree: None),
    "depth of calls": lambda _: sys.setrecursionlimit(10**9),
    "digits of integers": lambda _: sys.set_int_max_str_digits(0),
}
"""Name of a rule → what takes it away from a session."""


def main():
    path, *arguments = sys.argv[1:]
    launch = runpy.run_path(path)
    original = importlib.import_module

    def import_module(name, package=None):
        module = original(name, package)
        if name.endswith((".zygote", ".spawned")):
            watch_first_lines(part("session").Session)
        return module

    importlib.import_module = import_module
    launch["main"](arguments)


def watch_first_lines(session):
    run = session.run

    def run_without(self, frame):
        first, _, _ = frame["source"].partition("\n")
        if first.startswith(FIRST_LINE):
            for name in first.removeprefix(FIRST_LINE).split("; "):
                RULES[name](self)
        return run(self, frame)

    session.run = run_without


if __name__ == "__main__":
    main()
