"""The house's rules, by reading every file: who may import whom, where state may change, how long things may get."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "segadmin"
TEMPLATES = sorted((CHECKOUT / "templates").rglob("*.html"))
OTHERS_FILES = {".git", ".venv", "var", "build", "dist", "node_modules"}

# Room -> what it may import of segadmin. A dot names one module of a room; a room may always import itself.
MAY_IMPORT: dict[str, set[str]] = {
    # row 7
    "urls": {"views"},
    "management": {
        "sync",
        "actions",
        "queries",
        "emulator",
        "aep.errors",
        "aep.types",
        "audit.Actor",
        "audit.verifier",
        "audit.verify.Result",
        # migrate renews the triggers
        "audit.triggers",
        "models",
        "processes",
        "environment",
        "wsgi",
        "plain",
    },
    "processes": {"environment"},
    "wsgi": set(),
    "apps": {"checks", "signin", "audit.triggers", "actions.register"},
    # row 6
    "views": {
        "actions",
        "queries",
        "access",
        "forms",
        "htmx",
        "audit.Actor",
        "audit.NotRecorded",
        "audit.record",
        "audit.verifier",
        "aep.errors",
        "models",
    },
    "middleware": {
        "actions",
        "queries",
        "access",
        "htmx",
        "audit.Actor",
        "audit.NotRecorded",
        "audit.OutcomeNotRecorded",
        "audit.record",
        "models",
        "logs",
        "plain",
    },
    "context_processors": {"queries", "access", "models", "templatetags"},
    "signin": {"actions", "queries", "access", "audit.Actor", "audit.record", "models", "middleware", "crypto"},
    # Kinds of personal data are a list of words, and no model.
    "templatetags": {"models.register.Category"},
    # row 5
    "sync": {"actions", "queries", "connect", "audit", "models", "crypto", "aep"},
    "actions": {"queries", "connect", "audit", "models", "crypto", "aep", "plain"},
    # row 4
    "connect": {"audit", "models", "crypto", "aep"},
    # row 3
    # A job's raw JSON is read for the page by the same types as by the mirror; the tags' formats know no model.
    # Receipts and checkpoints are forms of text, read without the record.
    "queries": {"models", "aep.types", "templatetags", "audit.receipts", "audit.verifier", "plain"},
    "access": {"models", "audit"},
    "forms": {"models", "aep.types"},
    "htmx": {"models"},
    # The signing key is made in the data folder as the other keys are.
    "audit": {"models", "crypto", "environment"},
    # row 2
    "models": {"crypto"},
    "checks": {"crypto"},
    # row 1
    "crypto": set(),
    "aep": set(),
    "emulator": set(),
    "plain": set(),
    "reports": set(),
    "logs": {"plain"},
    "environment": set(),
    "settings": {"environment"},
}
# Room -> the packages of others that it may import, where the room is bound to few.
MAY_IMPORT_OF_OTHERS: dict[str, set[str]] = {
    "emulator": set(),
    "aep": {"requests", "urllib3", "pydantic", "pydantic_core", "annotated_types"},
    "crypto": {"cryptography", "django"},
    "plain": set(),
    "logs": set(),
}
# Package of others -> the only rooms that may import it.
ONLY_IN = {
    "requests": {"aep"},
    "urllib3": {"aep"},
    "pydantic": {"aep"},
    "cryptography": {"crypto"},
    "granian": {"management", "processes"},
}
WRITES = {
    "save",
    "create",
    "delete",
    "update",
    "get_or_create",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "acreate",
    "asave",
    "adelete",
    "aupdate",
}
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_VIEW = 400, 40, 25
# Handed to auditors, who run it alone: one file with nothing of ours or of others in it.
STANDS_ALONE = "segadmin.audit.verifier"


@dataclass(frozen=True)
class Module:
    """One Python file of the package."""

    path: Path

    @cached_property
    def name(self) -> str:
        parts = list(self.path.relative_to(CHECKOUT).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def room(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @cached_property
    def tree(self) -> ast.Module:
        return parsed(self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """The tree, flat."""
        return list(ast.walk(self.tree))

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(CHECKOUT)}:{getattr(node, 'lineno', 0)}"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


MODULES = [
    Module(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.relative_to(PACKAGE).parts and path != PACKAGE / "__init__.py"
]
NAMES = {module.name for module in MODULES} | {"segadmin"}


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported dotted name, also inside functions: "segadmin.aep.errors.AEPError", "requests"."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, f"{base}.{alias.name}"


def allowed(target: str, room: str) -> bool:
    """`target` is the dotted name within segadmin, such as "audit.record.one_line"."""
    first = target.split(".")[0]
    rules = MAY_IMPORT[room]
    return first in (room, "__version__") or any(target == rule or target.startswith(f"{rule}.") for rule in rules)


def expect_none(found: Iterator[str]) -> None:
    """Fail with one line per offender."""
    lines = sorted(set(found))
    if lines:
        pytest.fail("\n".join(["", *lines]), pytrace=False)


def test_every_room_has_a_row() -> None:
    assert {module.room for module in MODULES} - set(MAY_IMPORT) == set()


def test_imports_go_down_only() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            for node, name in imports(module):
                top, _, target = name.partition(".")
                if top == "segadmin" and target and not allowed(target, module.room):
                    yield f"{module.at(node)}: {module.room} may not import {name}"

    expect_none(found())


def test_packages_of_others_stay_in_their_rooms() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            for node, name in imports(module):
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top == "segadmin":
                    continue
                bound = MAY_IMPORT_OF_OTHERS.get(module.room)
                if bound is not None and top not in bound:
                    yield f"{module.at(node)}: {module.room} may not import {top}"
                if module.room not in ONLY_IN.get(top, {module.room}):
                    yield f"{module.at(node)}: only {sorted(ONLY_IN[top])} may import {top}"

    expect_none(found())


def test_the_verifier_needs_python_only() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            if module.name == STANDS_ALONE:
                for node, name in imports(module):
                    if name.split(".")[0] not in sys.stdlib_module_names:
                        yield f"{module.at(node)}: the verifier may not import {name}"

    expect_none(found())


def test_only_connect_gives_writers_and_opens_secrets() -> None:
    """An object that can POST or DELETE, and a decrypted secret, come from one place each."""
    guarded = {"ExportJobsWriter": {"connect", "aep"}, "open_": {"connect", "crypto", "signin"}}

    def found() -> Iterator[str]:
        for module in MODULES:
            for node in module.nodes:
                name = (
                    node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else ""
                )
                if module.room not in guarded.get(name, {module.room}):
                    yield f"{module.at(node)}: {name} belongs to {sorted(guarded[name])}"

    expect_none(found())


def calls(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call of a method or function with the last part of its name."""
    for node in module.nodes:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, node.func.id


@pytest.mark.parametrize(
    "room", ["views", "management", "queries", "context_processors", "htmx", "access", "templatetags"]
)
def test_state_changes_are_actions(room: str) -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            if module.room == room:
                for node, name in calls(module):
                    if name in WRITES and isinstance(node.func, ast.Attribute):
                        yield f"{module.at(node)}: .{name}() changes state; that is an action's work"

    expect_none(found())


def test_no_unfinished_select_is_left_open() -> None:
    """With a rollback journal it would block every writer, and then every reader."""

    def found() -> Iterator[str]:
        for module in MODULES:
            for node, name in calls(module):
                if name in {"iterator", "aiterator"}:
                    yield f"{module.at(node)}: .{name}() leaves a SELECT unfinished; read keyset chunks"

    expect_none(found())


def is_literal(node: ast.expr, module: Module) -> bool:
    """A string as written: directly, one of two, or a constant of this module."""
    if isinstance(node, ast.IfExp):
        return is_literal(node.body, module) and is_literal(node.orelse, module)
    if isinstance(node, ast.Name):
        values = [
            statement.value
            for statement in module.tree.body
            if isinstance(statement, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == node.id for target in statement.targets)
        ]
        return node.id.isupper() and len(values) == 1 and is_literal(values[0], module)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_sql_is_never_put_together_from_text() -> None:
    """Only the triggers are (of constants); everything else is the ORM, or a literal with parameters."""

    def found() -> Iterator[str]:
        for module in MODULES:
            if module.name == "segadmin.audit.triggers":
                continue
            for node, name in calls(module):
                is_sql = name in {"execute", "executemany", "executescript", "raw", "RawSQL", "extra"}
                if is_sql and not (node.args and is_literal(node.args[0], module)):
                    yield f"{module.at(node)}: {name}() needs a literal string"

    expect_none(found())


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = node.body[0]
    told = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        told = (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - node.lineno + 1 - told


def test_files_are_short() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            lines = len(module.path.read_text(encoding="utf-8").splitlines())
            if lines > LONGEST_FILE and module.name != STANDS_ALONE:
                yield f"{module.at(module.tree)}: {lines} lines, at most {LONGEST_FILE}"

    expect_none(found())


def test_functions_are_short_and_views_shorter() -> None:
    def found() -> Iterator[str]:
        for module in MODULES:
            most = LONGEST_VIEW if module.room == "views" else LONGEST_FUNCTION
            for node in functions(module):
                if length(node) > most:
                    yield f"{module.at(node)}: {node.name} has {length(node)} lines, at most {most}"

    expect_none(found())


def test_actions_name_their_actor() -> None:
    """`actor` is keyword-only and has no default: nobody acts by omission."""

    def found() -> Iterator[str]:
        for module in MODULES:
            if module.room not in {"actions", "audit"}:
                continue
            for node in functions(module):
                ordinary = [*node.args.posonlyargs, *node.args.args]
                if node.name.startswith("_"):
                    continue
                if any(argument.arg == "actor" for argument in ordinary):
                    yield f"{module.at(node)}: {node.name} takes its actor by position"
                for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                    if argument.arg == "actor" and default is not None and module.room == "actions":
                        yield f"{module.at(node)}: {node.name} has a default for its actor"

    expect_none(found())


# -- templates --------------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"{#.*?#}|{%\s*comment\b.*?%}.*?{%\s*endcomment\s*%}", re.DOTALL)
_FORM = re.compile(r"<form\b(.*?)>(.*?)</form>", re.DOTALL | re.IGNORECASE)
_POST = re.compile(r"""method\s*=\s*["']?post|hx-(post|put|patch|delete)""", re.IGNORECASE)
UNESCAPED = "text that is not escaped"
FORBIDDEN_IN_TEMPLATES = {
    "an inline style": re.compile(r"<style\b|\sstyle\s*=", re.IGNORECASE),
    "an inline script": re.compile(
        r"""<script\b(?![^>]*(\bsrc=|\btype=["']application/json["']))[^>]*>""", re.IGNORECASE
    ),
    "a handler in an attribute": re.compile(r"""\son[a-z]+\s*=\s*["'{]""", re.IGNORECASE),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
    "hx-on, js: or a filter in hx-trigger, which the page's policy stops": re.compile(
        r"""\shx-on\b|hx-(vals|headers)\s*=\s*["']js:|hx-trigger\s*=\s*["'][^"']*\[""", re.IGNORECASE
    ),
    UNESCAPED: re.compile(r"\|\s*safe\b|{%\s*autoescape\s+off"),
    "a picture in the address": re.compile(r"""(src|href)\s*=\s*["']data:""", re.IGNORECASE),
    "something from another server": re.compile(
        r"""<(script|link|img|iframe|source)\b[^>]*\b(src|href)\s*=\s*["'](https?:)?//"""
    ),
}


def template_text(path: Path) -> str:
    """Without comments, but with as many lines."""
    return _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8"))


def markup(text: str) -> str:
    """Without the arguments of tags, which look like attributes."""
    return re.sub(r"{%.*?%}", "{% %}", text)


def test_every_form_that_posts_carries_the_token() -> None:
    def found() -> Iterator[str]:
        for path in TEMPLATES:
            text = template_text(path)
            for form in _FORM.finditer(text):
                if _POST.search(form[1]) and "csrf_token" not in form[2]:
                    line = text.count("\n", 0, form.start()) + 1
                    yield f"{path.relative_to(CHECKOUT)}:{line}: a form that posts without csrf_token"

    assert TEMPLATES
    expect_none(found())


@pytest.mark.parametrize("what", FORBIDDEN_IN_TEMPLATES)
def test_templates_keep_the_page_policy(what: str) -> None:
    def found() -> Iterator[str]:
        for path in TEMPLATES:
            text = template_text(path)
            if what != UNESCAPED:
                text = markup(text)
            for match in FORBIDDEN_IN_TEMPLATES[what].finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path.relative_to(CHECKOUT)}:{line}: {what}: {match[0].strip()}"

    expect_none(found())


# -- the whole tree ---------------------------------------------------------------------------------------------------


def tree() -> Iterator[Path]:
    """Every text file of the checkout that is ours."""
    for folder, folders, files in CHECKOUT.walk():
        folders[:] = [
            name
            for name in folders
            if name not in OTHERS_FILES and not name.endswith(("_cache", "__pycache__", ".egg-info"))
        ]
        for name in files:
            yield folder / name


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the choice of whoever installs; hash-pinned files carry no addresses."""
    registries = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("unpkg", "com"),
            ("jsdelivr", "net"),
            ("cdnjs", "cloudflare"),
            ("crates", "io"),
            ("rubygems", "org"),
            ("proxy", "golang", "org"),
        )
    ]
    pattern = re.compile("|".join(re.escape(name) for name in registries), re.IGNORECASE)

    def found() -> Iterator[str]:
        for path in tree():
            try:
                text = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            for match in pattern.finditer(text):
                yield f"{path.relative_to(CHECKOUT)}:{text.count(chr(10), 0, match.start()) + 1}: names {match[0]}"

    expect_none(found())


def test_the_admin_site_is_not_installed() -> None:
    from django.conf import settings

    assert not any(name.startswith("django.contrib.admin") for name in settings.INSTALLED_APPS)
