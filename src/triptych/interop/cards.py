"""Model cards: what a method is, how it was trained and what it reaches, for those who are given its file."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from triptych import __version__
from triptych.interop.naming import method_in_words
from triptych.methods import Method, weights_hash
from triptych.system.environment import CONFIG, ENVIRONMENT
from triptych.system.wording import compared_in_words, listed, printable, with_interval
from triptych.system.yaml_files import read_yaml, yaml_text

__all__ = ["model_card", "training_of"]

_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_() -]{0,99}")  # no mark of YAML's or of Markdown's tables
_RUN = (CONFIG, ENVIRONMENT)
# What a card says of a record, and of which kind each is.
_RECORD: dict[str, tuple[type, str]] = {
    "data": (str, "a text"),
    "split": (str, "a text"),
    "weights_sha256": (str, "a text"),
    "accuracy": (float, "a share from 0 to 1"),
    "ci95": (float, "a share from 0 to 1"),
    **dict.fromkeys(("way", "shot", "episodes", "seed"), (int, "a whole number")),
}


def model_card(
    method: Method,
    name: str,
    licence: str | None = None,
    training: Mapping[str, str] | None = None,
    records: Iterable[Mapping[str, Any]] = (),
) -> str:
    """The card of a method, in the form of the Hugging Face hub: front matter in YAML, then Markdown.

    Args:
        method: what it is of.
        name: its title.
        licence: the hub's name of it, such as "mit"; None says that none is stated.
        training: of ``training_of``.
        records: what ``evaluate`` returned for it.

    Raises:
        ValueError: a record is damaged or of other weights, the licence is no name of one, or what the run's folder
            says is damaged.

    >>> from triptych.interop import model_card
    >>> from triptych.methods import build_method
    >>> model_card(build_method("dn4-conv64f"), "my-dn4", licence="mit").splitlines()[1:4]
    ['library_name: triptych', 'pipeline_tag: image-classification', 'license: mit']
    """
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise ValueError(f"licence {printable(licence):.80}: expected a short name, such as mit or cc-by-nc-4.0")
    front = {
        "library_name": "triptych",
        "pipeline_tag": "image-classification",
        **({} if licence is None else {"license": licence}),
        "tags": ["few-shot-learning", "triptych", method.name],
    }
    parts = [
        f"---\n{yaml_text(front, '')}---\n",
        f"# {printable(name)}\n",
        f"Few-shot image recognition that compares {listed([compared_in_words(one) for one in method.level_names])}.\n",
        _what(method, licence),
        _use(name, method.transductive),
        _accuracy(method, list(records)),
        _training(training or {}),
    ]
    return "\n".join(part for part in parts if part)


def training_of(folder: Path) -> dict[str, str]:
    """What a run's folder says of the training of its method: file name -> text; empty for another folder.

    Where data and first weights lie on this machine is left out; the last part of their names stays.

    Raises:
        ValueError: the settings are damaged.

    >>> from pathlib import Path
    >>> from triptych.interop.cards import training_of
    >>> training_of(Path("/proc"))
    {}
    """
    found = {name: _text(folder / name) for name in _RUN if (folder / name).is_file()}
    if CONFIG in found:
        remarks = [line.removeprefix("# ") for line in found[CONFIG].splitlines() if line.startswith("#")]
        found[CONFIG] = yaml_text(_without_places(read_yaml(folder / CONFIG)), "\n".join(remarks))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{printable(path)}: damaged, no text in UTF-8; expected that of a run") from error


def _without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(settings)
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found[name] = _without_places(value)
        elif name in ("data", "init"):
            found[name] = [_last_part(one) for one in value] if isinstance(value, list) else _last_part(value)
    return found


def _last_part(place: object) -> str:
    return str(place) if str(place).startswith("hf:") else Path(str(place)).name


def _what(method: Method, licence: str | None) -> str:
    preprocess = method.config.preprocessing
    rows = {
        "method": method_in_words(method.config),
        **({"queries": "answered together (transductive)"} if method.transductive else {}),
        "network": method.config.backbone,
        "levels": ", ".join(method.level_names),
        "parameters": f"{sum(parameter.numel() for parameter in method.parameters()):,}",
        "images": f"{preprocess.side} x {preprocess.side} pixels, fit by {preprocess.fit!r}",
        "licence": licence or "not stated by the owner",
        "SHA-256 of the weights": f"`{weights_hash(method)}`",
        "written by": f"triptych {__version__}",
    }
    return "".join(["| | |\n|---|---|\n", *(f"| {name} | {value} |\n" for name, value in rows.items())])


def _use(name: str, transductive: bool) -> str:
    loaded = f'method = load_method("method.safetensors")  # or "hf:OWNER/{printable(name)}"'
    lines = ["from triptych import Recognizer, load_method", "", loaded]
    lines += ['recognizer = Recognizer(method=method).fit("PHOTOS_DIR")']
    if transductive:
        lines = ["from triptych import load_method", "from triptych.evaluation import evaluate", "", loaded]
        lines += [f'record = evaluate("PHOTOS_DIR", method, "{printable(name)}")']
    code = "\n".join(lines)
    return f"## Use\n\n```python\n{code}\n```\n\nThe file holds numbers and a configuration; loading it runs no code.\n"


def _accuracy(method: Method, records: list[Mapping[str, Any]]) -> str:
    if not records:
        return ""
    lines = ["## Accuracy\n\n", "| data | split | task | episodes, seed | accuracy in % |\n|---|---|---|---|---|\n"]
    for record in records:
        _check_record(record)
        if record["weights_sha256"] != weights_hash(method):
            raise ValueError(f"the record of {record.get('data')!r} is of other weights; evaluate this method")
        data = printable(Path(str(record["data"])).name)
        figure = with_interval(record["accuracy"], record["ci95"])
        task = f"{record['way']}-way {record['shot']}-shot"
        lines.append(f"| {data} | {record['split']} | {task} | {record['episodes']}, {record['seed']} | {figure} |\n")
    return "".join(lines)


def _check_record(record: Mapping[str, Any]) -> None:
    """Refuse what is no record of one data set: anybody may have changed the file."""
    for name, (kind, expected) in _RECORD.items():
        value = record.get(name)
        if type(value) is not kind or (isinstance(value, float) and not 0 <= value <= 1):
            raise ValueError(
                f"a record has {value!r:.80} for {name}; expected {expected}, as triptych evaluate writes it"
            )


def _training(files: Mapping[str, str]) -> str:
    parts = []
    if settings := files.get(CONFIG):
        parts.append(f"## Training\n\n```yaml\n{settings.strip()}\n```\n")
    if environment := files.get(ENVIRONMENT):
        try:
            start = json.loads(environment)["starts"][-1]
            commit = (start["git"].get("triptych") or start["git"].get("working_folder") or {}).get("commit")
            versions = ", ".join(f"{name} {version}" for name, version in start["versions"].items())
            told = f"{start['device']}, {start['processor']}; {versions}"
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"{ENVIRONMENT}: damaged; expected that of a run; remove it to go on without") from error
        parts.append(f"\nComputed with {told}{'' if commit is None else f'; git commit {commit}'}.\n")
    return "".join(parts)
