"""Settings in YAML files: read with a loader that makes nothing but text, numbers, lists and mappings."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from triptych.system.files import read_named
from triptych.system.wording import first_line, printable

__all__ = ["read_yaml", "yaml_text"]

_LARGEST = 1 << 20  # bytes; settings are a page
_FLOAT = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"


class _Loader(yaml.SafeLoader):
    """Plain values alone: no aliases, which can make a small file endless, and no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*name)", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if not isinstance(name, str):
                raise yaml.MarkedYAMLError(problem="a key that is no text", problem_mark=key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that the loader would take for a number."""


for _one in (_Loader, _Dumper):  # YAML 1.1 takes 1e-3 for text
    _one.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _one.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT})$"), list("-+0123456789."))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. It never runs code.

    Raises:
        ValueError: it is missing, is no YAML, holds no mapping by names, or more than settings take; the message names
            the line.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from triptych.system.yaml_files import read_yaml
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "x.yaml")
    ...     _ = path.write_text("train: {learning-rate: 1e-3, shots: [1, 5]}")
    ...     read_yaml(path)
    {'train': {'learning-rate': 0.001, 'shots': [1, 5]}}
    """
    name = printable(path)
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise ValueError(f"{name}: {path.stat().st_size / 1e6:.1f} MB; expected a YAML file of settings")
    data = read_named(path, "a YAML file of settings")
    try:
        found = yaml.load(data.decode(), _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{name}: no YAML file of settings ({_told(error)}); expected some by name, such as way: 5"
        ) from error
    found = {} if found is None else found
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{name}: expected settings by name, such as way: 5; got {type(found).__name__}")
    return found


def yaml_text(values: Mapping[str, Any], remark: str) -> str:
    """YAML of plain values in the given order, below a remark.

    >>> from triptych.system.yaml_files import yaml_text
    >>> print(yaml_text({"seed": 0, "train": {"shots": (1, 5), "rate": 1e-3}}, "An example."), end="")
    # An example.
    seed: 0
    train:
      shots: [1, 5]
      rate: 0.001
    """
    remarks = "".join(f"# {line}\n" for line in remark.splitlines())
    # Scalars and lists in one line each, which is how people write them.
    return remarks + "".join(_lines(values, ""))


def _lines(values: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:\n", *_lines(value, f"{indent}  ")]
        else:
            plain = list(value) if isinstance(value, tuple) else value
            text = yaml.dump(plain, Dumper=_Dumper, default_flow_style=True, width=10**9, allow_unicode=True)
            lines.append(f"{indent}{name}: {text.removesuffix('...' + chr(10)).strip()}\n")
    return lines


def _told(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return "no text in UTF-8" if isinstance(error, UnicodeDecodeError) else first_line(error)
