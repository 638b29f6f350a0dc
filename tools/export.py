"""Export the modules from the notebooks, with docstrings that help() and Jupyter show in full.

    python tools/export.py     runs nbdev_export, then adds to each docstring what the comments beside the parameters say

In a notebook each parameter is explained once, in a comment beside it. Neither help() nor Jupyter's shift-tab shows comments,
so the exported docstring repeats them in NumPy's form: Parameters (Attributes of a dataclass), Returns and Raises.
"Sort the rows; raises ValueError for an unknown column." gives the section Raises.
"""
import ast
import io
import os
import re
import sys
import textwrap
import tokenize
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
WIDTH = 100  # of the lines that are added
LONGEST_LINE = 120
LONGEST_TYPE = 60  # a longer one is left to the signature, which shows it, too
SECTION = re.compile(r"^\s*(Parameters|Attributes|Returns|Raises)\n\s*-{3,}$", re.MULTILINE)
ERROR = r"`?[A-Z]\w*[A-Z]\w*`?"  # DataError, OSError, NotForDuckDB
ERRORS = rf"{ERROR}(?:(?:,|\s+or|\s+and|,\s+or)\s+{ERROR})*"
RAISES = re.compile(rf"(?P<before>[;,.])(?P<space>\s+)(?:and\s+)?[Rr]aises?\s+(?P<what>{ERRORS}(?:(?!,\s+(?:and\s+)?warns\b)[^.;]|\.(?=\w))*)"
                    rf"(?P<after>,\s+(?:and\s+)?(?=warns)|[.;]|$)")
CLAUSE = re.compile(rf"({ERRORS})(.*?)(?:,\s+(?=(?:and\s+|or\s+)?{ERROR}\s)|$)", re.DOTALL)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def comments_of(source):
    """The comments of a module by their lines."""
    return {token.start[0]: token.string.lstrip("#").strip() for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT}


def comment_at(line, comments, taken):
    """The comment beside a parameter, or else the lines of comment above it, as fastcore's docments reads them."""
    if line in comments:
        return comments[line]
    above = []
    while (line := line - 1) in comments and line not in taken and not comments[line].startswith("%% "):
        above.insert(0, comments[line])
    return " ".join(above)


def typed(annotation):
    """A type as it is written, without quotation marks; nothing if it is long."""
    text = "" if annotation is None else annotation if isinstance(annotation, str) else ast.unparse(annotation)
    text = re.sub(r"""^(['"])(.*)\1$""", r"\2", text)
    return text if len(text) <= LONGEST_TYPE else ""


def wrapped(text):
    """A text in lines, indented."""
    return textwrap.wrap(text, WIDTH - 8, initial_indent="    ", subsequent_indent="    ")


def entry(name, annotation, comment):
    """A parameter or a result, as NumPy's docstrings have it."""
    head = " : ".join(filter(None, (name, typed(annotation)))) or "result"
    return [head, *wrapped(comment)]


def with_default(annotation, default):
    """A type with the default: `float = 0.95`."""
    if default is None:
        return annotation
    whole = f"{typed(annotation)}{' = ' if annotation is not None else 'default '}{ast.unparse(default)}"
    return whole if len(whole) <= LONGEST_TYPE else annotation


def parameters_of(function):
    """The parameters of a function but self and cls: name, line, type with default."""
    given = function.args
    positional = given.posonlyargs + given.args
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    plain = list(zip(positional, defaults, strict=True))
    named = list(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    found = [(one.arg, one, default) for one, default in plain if one.arg not in ("self", "cls")]
    found += [(f"*{given.vararg.arg}", given.vararg, None)] if given.vararg else []
    found += [(one.arg, one, default) for one, default in named]
    found += [(f"**{given.kwarg.arg}", given.kwarg, None)] if given.kwarg else []
    return [(name, one.lineno, with_default(one.annotation, default)) for name, one, default in found]


def fields_of(one):
    """The fields of a dataclass: name, line, type with default."""
    for field in one.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and not field.target.id.startswith("_"):
            default = field.value if not isinstance(field.value, ast.Call) else None
            yield field.target.id, field.lineno, with_default(field.annotation, default)


def explained(parameters, comments):
    """The lines of a section Parameters, none if nothing is said of any parameter."""
    lines = {line for _, line, _ in parameters}
    last = {line: name for name, line, _ in parameters}  # a comment belongs to the last parameter of its line
    found = [(name, annotation, comment_at(line, comments, lines) if last[line] == name else "") for name, line, annotation in parameters]
    return [text for one in found for text in entry(*one)] if any(comment for _, _, comment in found) else []


def result_of(function, comments):
    """The lines of a section Returns, none if nothing is said of the result."""
    if function.returns is None or ast.unparse(function.returns) == "None":
        return []
    taken = {line for _, line, _ in parameters_of(function)}
    comment = comments.get(function.returns.end_lineno, "") if function.returns.end_lineno not in taken else ""
    return entry("", function.returns, comment) if comment else []


def raised(text):
    """A docstring without what it says of errors, and the lines of a section Raises.

    One that begins with "Raise" says what the function is for, and stays.
    """
    lines = []

    def move(found):
        for errors, when in CLAUSE.findall(found["what"]):
            when = " ".join(when.split()).strip(" ,")
            lines.extend([", ".join(re.findall(r"\w+", re.sub(r"\b(or|and)\b", "", errors))),
                          *wrapped(f"{when[:1].upper()}{when[1:]}." if when else "")])
        return f".{found['space'].rstrip(' ')}" if found["after"].startswith((";", ",")) else "."

    rest = RAISES.sub(move, text)
    return re.sub(r"(?<=\.)(\s+)warns\b", lambda space: ("\n\n" if "\n" in space[1] else " ") + "Warns", rest).strip(), lines


def section(title, lines):
    return ["", title, "-" * len(title), *lines] if lines else []


def quoted(text, lines, indent):
    """A docstring as it is written in a module."""
    room = LONGEST_LINE - len(indent)
    first, *further = text.splitlines()
    told = [*textwrap.wrap(first, room - 3), *(part for line in further for part in (textwrap.wrap(line, room) if len(line) > room else [line]))]
    body = "\n".join([*told, *lines]).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return textwrap.indent(f'"""{body}\n"""', indent, lambda line: line.strip())


class Docstrings:
    """What is to be written instead of which lines of one module."""

    def __init__(self, source):
        self.lines, self.comments, self.changes = source.splitlines(), comments_of(source), []
        self.tree = ast.parse(source)

    def names(self):
        """The names of `__all__`."""
        for one in self.tree.body:
            if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__all__":
                return set(ast.literal_eval(one.value))
        return set()

    def extend(self, one, first, last=()):
        """Add sections to the docstring of a definition: those before what is raised, and those after the parameters."""
        text = ast.get_docstring(one)
        if not text or SECTION.search(text):
            return
        text, errors = raised(text)
        sections = [*first, *last, *section("Raises", errors)]
        if sections:
            where = one.body[0]
            self.changes.append((where.lineno, where.end_lineno, quoted(text, sections, " " * where.col_offset)))

    def function(self, one):
        """Of a function or method."""
        decorators = [ast.unparse(decorator) for decorator in one.decorator_list]
        if not any(".command" in decorator or ".callback" in decorator for decorator in decorators):  # whose docstring is shown in a terminal
            self.extend(one, section("Parameters", explained(parameters_of(one), self.comments)),
                        section("Returns", result_of(one, self.comments)))

    def klass(self, one):
        """Of a class and its public methods."""
        made = next((member for member in one.body if isinstance(member, FUNCTION) and member.name == "__init__"), None)
        if any("dataclass" in ast.unparse(decorator) for decorator in one.decorator_list):
            fields = [field for field in fields_of(one) if not typed(field[2]).startswith("ClassVar")]
            self.extend(one, section("Attributes", explained(fields, self.comments)))
        else:
            self.extend(one, section("Parameters", explained(parameters_of(made), self.comments)) if made else [])
        for member in one.body:
            if isinstance(member, FUNCTION) and not member.name.startswith("_"):
                self.function(member)

    def source(self):
        """The module with its docstrings in full."""
        for one in self.tree.body:
            if getattr(one, "name", None) in self.names():
                self.klass(one) if isinstance(one, ast.ClassDef) else self.function(one)
        for first, last, text in sorted(self.changes, reverse=True):
            self.lines[first - 1:last] = text.splitlines()
        return "\n".join(self.lines) + "\n"


def main():
    os.chdir(REPO)
    from nbdev.config import get_config
    from nbdev.doclinks import nbdev_export

    nbdev_export()
    for path in sorted(get_config().lib_path.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "AUTOGENERATED! DO NOT EDIT!" in source and path.name != "_modidx.py":
            path.write_text(Docstrings(source).source(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
