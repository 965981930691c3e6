"""What a run's folder says of the run: its settings, such that they can be given back, and its environment."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.evaluation.settings import EvaluateSettings
from triptych.methods import METHODS, MethodConfig, name_and_changes
from triptych.system.environment import CONFIG, ENVIRONMENT, record_environment
from triptych.system.files import write_whole
from triptych.system.kinds import RECORD, Kind
from triptych.system.outputs import check_own_folder, check_spared
from triptych.system.yaml_files import yaml_text

__all__ = ["RECORD_FILE", "check_evaluation_folder", "config_text", "write_evaluation_run"]

RECORD_FILE = "record.json"

_TABLE_FILE = "table.md"
_TABLE_HEAD = b"| data | classes | images |"
_OURS = {  # by the rule of triptych.system.outputs
    CONFIG: Kind("settings", {".yaml": b"# run again: triptych "}),
    RECORD_FILE: RECORD,
    ENVIRONMENT: Kind("environment of a run", {".json": b'{\n  "starts"'}),
    _TABLE_FILE: Kind("table of data sets", {".md": _TABLE_HEAD}, _TABLE_HEAD),
}


def config_text(
    data: Any,
    method: str | MethodConfig,
    command: str,
    sections: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, MethodConfig] = METHODS,
) -> str:
    """The settings of a run as the YAML file that ``triptych COMMAND --config`` takes.

    Args:
        data: what was read.
        method: a name, or a configuration, which is written as the nearest known one and what differs from it.
        command: "train", "pretrain" or "evaluate".
        sections: stage -> its settings.
        known: configurations by name.

    >>> from triptych.evaluation.run_folder import config_text
    >>> print(config_text("photos", "dn4-conv64f", "train", {"train": {"way": 5}}), end="")
    # Run again: triptych train --config FILE
    method: dn4-conv64f
    data: photos
    train:
      way: 5
    """
    remark = f"Run again: triptych {command} --config FILE"
    own: dict[str, Any] = {"method": method}
    if isinstance(method, MethodConfig):
        named = name_and_changes(method, known)
        if named is None:
            remark = f"Run again: triptych {command} --config FILE, once METHODS has the method's configuration"
        name, changes = named or (type(method).__name__, method.to_dict())
        own = {"method": name, **({"setting": changes} if changes else {})}
    places = list(map(str, data)) if isinstance(data, list | tuple) else str(data)
    return yaml_text({**own, "data": places, **sections}, remark)


def check_evaluation_folder(folder: Path, read: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Refuse a folder that an evaluation must not fill.

    Args:
        folder: it need not exist.
        read: what the evaluation reads.
        overwrite: replace the evaluation that lies there.

    Raises:
        ValueError: it lies inside what is read, holds other things or files of these names that Triptych did not
            write, or an evaluation while ``overwrite`` is false.
        OSError: it is not writable.
    """
    check_spared(folder, read)
    if check_own_folder(folder, _OURS, "an evaluation") and not overwrite:
        raise ValueError(f"{folder}: an evaluation already lies here; replace it with --overwrite, or name another")


def write_evaluation_run(
    folder: Path,
    record: Mapping[str, Any],
    data: Any,
    settings: EvaluateSettings,
    table: str | None = None,
    method: str | None = None,
    backbone: str | None = None,
) -> None:
    """Write the folder of an evaluation: ``record.json``, ``config.yaml`` and ``environment.json``.

    Args:
        folder: made where it is missing.
        record: of ``evaluate`` or ``evaluate_domains``.
        data: what was evaluated on.
        settings: which episodes, and how.
        table: written to ``table.md``.
        method: as it was asked for; by default as the record calls it.
        backbone: the model of the transformers library that the method was put over.

    Raises:
        ValueError: the folder holds something that Triptych did not write.
        OSError: it cannot be written.
    """
    check_evaluation_folder(folder, overwrite=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _TABLE_FILE).unlink(missing_ok=True)
    if table is not None:
        write_whole(folder / _TABLE_FILE, f"{table}\n".encode())
    (folder / ENVIRONMENT).unlink(missing_ok=True)  # of an evaluation that is replaced
    record_environment(folder, str(record["device"]))
    asked = {**asdict(settings), "precision": record["precision"]}  # what "auto" became
    if "episodes_file" in record:
        asked["episodes_file"] = record["episodes_file"]["name"]
    if backbone is not None:
        asked["backbone"] = backbone
    text = config_text(data, method or str(record["method"]), "evaluate", {"evaluate": asked})
    write_whole(folder / CONFIG, text.encode())
    write_whole(folder / RECORD_FILE, f"{json.dumps(record, indent=2)}\n".encode())
