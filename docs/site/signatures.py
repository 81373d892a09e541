"""Signatures as they are written: ``num_samples: Count = 100``, where Python knows only what Count is short for."""

import ast
from functools import cache
from pathlib import Path


@cache
def signatures(module: str, file: Path) -> dict[str, tuple[str, str]]:
    """Arguments and return type by dotted name, of all functions, methods and classes of a module.

    Args:
        module: its dotted name.
        file: its source.
    """
    found = {}
    for node in ast.parse(file.read_text()).body:
        found |= _of(node, module)
    return found


def _of(node: ast.stmt, owner: str) -> dict[str, tuple[str, str]]:
    if isinstance(node, ast.FunctionDef):
        return {f"{owner}.{node.name}": (f"({ast.unparse(_bare(node.args))})", _returned(node))}
    if not isinstance(node, ast.ClassDef):
        return {}
    name = f"{owner}.{node.name}"
    found: dict[str, tuple[str, str]] = {}
    for each in node.body:
        members = _of(each, name)
        is_method = isinstance(each, ast.FunctionDef) and not any(map(_is_static, each.decorator_list))
        found |= {key: (_without_self(value[0]) if is_method else value[0], value[1]) for key, value in members.items()}
    if init := found.get(f"{name}.__init__"):
        return found | {name: (init[0], "")}
    fields = [_field(each) for each in node.body if isinstance(each, ast.AnnAssign)]
    return found | ({name: (f"({', '.join(filter(None, fields))})", "")} if any(fields) else {})


def _field(node: ast.AnnAssign) -> str:
    """Of a dataclass or a tuple with names."""
    kind = ast.unparse(_plain(node.annotation))
    name = ast.unparse(node.target)
    if name.startswith("_") or kind.startswith("ClassVar"):
        return ""
    match node.value:
        case None:
            return f"{name}: {kind}"
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            made = [f" = {ast.unparse(each.value)}()" for each in keywords if each.arg == "default_factory"]
            return f"{name}: {kind}{''.join(made)}"
        case value:
            return f"{name}: {kind} = {ast.unparse(value)}"


def _bare(arguments: ast.arguments) -> ast.arguments:
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if each.annotation:
            each.annotation = _plain(each.annotation)
    return arguments


def _plain(annotation: ast.expr) -> ast.expr:
    """``Annotated[T, ...]`` is T; a name in quotes is that name."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return kind
        case ast.Constant(value=str(text)):
            return ast.parse(text, mode="eval").body
    return annotation


def _returned(node: ast.FunctionDef) -> str:
    return ast.unparse(_plain(node.returns)) if node.returns else ""


def _is_static(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "staticmethod"


def _without_self(text: str) -> str:
    return "(" + text.removeprefix("(").partition(", ")[2] if ", " in text else "()"
