"""Method files with something wrong, as an accident leaves them or a stranger writes them."""

import json
from pathlib import Path

from safetensors.torch import load, save

from triptych.methods.files import _checksum
from triptych.system.packed import pack, unpack

__all__ = ["forge", "rewrite"]


def rewrite(path: Path, drop: str | None = None, **changes: object) -> None:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    content = json.loads(header["__metadata__"]["triptych"]) | changes
    tensors = {name: value for name, value in load(data).items() if name != drop}
    path.write_bytes(save(tensors, {"triptych": json.dumps(content)}))


def forge(path: Path, drop: str | None = None, **changes: object) -> None:
    """The file with other contents and a checksum that is true of them."""
    state, content = unpack(path.read_bytes(), "triptych-method", 2, str(path))
    state = {name: value for name, value in state.items() if name != drop}
    content = {key: content[key] for key in ("method", "config")} | changes
    path.write_bytes(pack(state, "triptych-method", 2, {**content, "checksum": _checksum(state, content)}))
