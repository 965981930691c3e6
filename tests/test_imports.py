"""The house: a room imports only rooms below it, through their doors; nothing imports in a circle."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import triptych

SOURCE = Path(triptych.__file__).parent
# From the top down; CONTRIBUTING.md says what each is for.
ROOMS = (
    "__main__",  # python -m triptych
    "cli",
    "serve",
    "reports",
    "folders",
    "engines",
    "comparison",
    "training",
    "evaluation",
    "export",
    "recognizer",
    "bank",
    "evidence",
    "support",
    "interop",
    "methods",
    "fusion",
    "backbones",
    "data",
    "similarity",
    "system",
    "weights",
    "samples",
)

# Rooms whose files have nothing to do with each other, or must not wait for each other: each file is a door.
OPEN = {"system", "weights"}
# The command that starts the service; the rest of the room's names come through its door.
PAST_THE_DOOR = {("triptych.cli.serving", "triptych.serve.running")}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(("triptych", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import of the package, wherever in the file it stands; the name of a module is "".

    The name of a file as a string is an import too: that of ``imported_when_used``.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in MODULES and str(node.value).count(".") > 1:
            yield str(node.value), ""
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "triptych")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write where the name comes from"
            if (node.module or "").split(".")[0] == "triptych":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield (whole, "") if whole in MODULES else (str(node.module), alias.name)


IMPORTS = {name: list(imported(path)) for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in MODULES} - {""} <= set(ROOMS)


@pytest.mark.parametrize("module", [module for module in MODULES if room(module)])
def test_nothing_imports_upwards_or_a_private_name_of_another_room(module: str) -> None:
    for other, name in IMPORTS[module]:
        if not room(other):  # the door of the house, which names any room: inside, only its version is asked
            assert name == "__version__", f"{module} imports {name or other}"
        elif room(other) != room(module):
            assert ROOMS.index(room(other)) > ROOMS.index(room(module)), f"{module} imports upwards from {other}"
            assert not name.startswith("_"), f"{module} imports {name} of {other}"
            assert not any(part.startswith("_") for part in other.split(".")), f"{module} imports from {other}"


@pytest.mark.parametrize("module", MODULES)
def test_names_of_another_room_come_through_its_door(module: str) -> None:
    """What a room's ``__init__.py`` exports is what others may use."""
    for other, name in IMPORTS[module]:
        if room(other) not in {"", room(module), *OPEN} and (module, other) not in PAST_THE_DOOR:
            assert other.count(".") == 1, f"{module} imports {name or 'all'} of {other}; export it from the room"


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: {other for other, _ in IMPORTS[module] if room(other)} for module in MODULES if room(module)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", [name for name in MODULES if name.count(".") == 1])
def test_no_file_of_a_room_has_the_name_of_a_function_that_the_room_exports(name: str) -> None:
    """The import of such a file would put the module in the place of the function."""
    door = importlib.import_module(name)
    functions = {one for one in getattr(door, "__all__", []) if inspect.isroutine(getattr(door, one))}
    assert [one for one in functions if f"{name}.{one}" in MODULES] == []
