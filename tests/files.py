"""Method files with something wrong."""

import json
from pathlib import Path

from safetensors.torch import load, save

__all__ = ["rewrite"]


def rewrite(path: Path, drop: str | None = None, **changes: object) -> None:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    content = json.loads(header["__metadata__"]["triptych"]) | changes
    tensors = {name: value for name, value in load(data).items() if name != drop}
    path.write_bytes(save(tensors, {"triptych": json.dumps(content)}))
