"""What can be known before torch is loaded is told before it: in a process that has none."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from photos import class_folders

WITHOUT_TORCH = """
import json, sys
from unittest.mock import patch
sys.modules["torch"] = None  # what Python itself does for a module that it must not find
from triptych.cli import main
for arguments in json.loads(sys.stdin.read()):
    with patch.object(sys, "argv", ["triptych", *arguments]):
        try:
            main()
        except SystemExit as ended:
            print(ended.code, flush=True)
"""

TOLD = [
    (("predict", "none.triptych", "x.jpg"), 2, "none.triptych: no such file; expected a .triptych file"),
    (("predict", "two", "x.jpg"), 2, "two: a folder; expected a .triptych file"),
    (("explain", "none.triptych", "x.jpg"), 2, "none.triptych: no such file"),
    (("explain", "x.triptych", "none.jpg"), 2, "none.jpg: No such file or directory; expected an image file"),
    (("explain", "x.triptych", "x.jpg"), 2, "x.jpg: not an image by its first bytes"),
    (("show", "none.triptych"), 2, "none.triptych: no such file"),
    (("add", "none.triptych", "plum", "x.jpg"), 2, "none.triptych: no such file"),
    (("remove", "none.triptych", "--label", "plum"), 2, "none.triptych: no such file"),
    (("export", "none.triptych", "-o", "x.onnx"), 2, "none.triptych: no such file"),
    (("sort", "none.triptych", "two", "-o", "sorted"), 2, "none.triptych: no such file"),
    (("serve", "none.triptych"), 2, "none.triptych: no such file"),
    (("sort", "x.triptych", "none", "-o", "sorted"), 2, "none: no such folder; expected a folder of photos"),
    (("fit", "none", "-o", "y.triptych"), 2, "none: no such file or folder; expected a folder with one sub-folder"),
    (("fit", "two/a", "-o", "y.triptych"), 2, "two/a: no class folders in it"),
    (("fit", "two", "-o", "y.triptych", "--min-photos", "9"), 2, "class 'a' has 1 photo, expected at least 9"),
    (("fit", "two", "-o", "y.triptych", "--method", "none.safetensors"), 2, "none.safetensors: no such file or folder"),
    (("compare", "none"), 2, "none: no such file or folder"),
    (("evaluate", "two", "none"), 2, "none: no such file or folder"),
    (("episodes", "none", "-o", "x.json"), 2, "none: no such file or folder"),
    (("splits", "none"), 2, "none: no such file or folder"),
    (("train", "none"), 2, "none: no such file or folder"),
    (("pretrain", "none"), 2, "none: no such file or folder"),
    *(((*command, "--device", "gpu"), 2, "device gpu: expected auto, cpu or cuda") for command in [
        ("fit", "two", "-o", "y.triptych"), ("predict", "x.triptych", "x.jpg"), ("compare", "two"), ("serve",),
        ("evaluate", "two"), ("explain", "x.triptych", "two/a/0.png"), ("sort", "x.triptych", "two", "-o", "sorted"),
        ("train", "two"), ("pretrain", "two"),
    ]),
    (("fit", "hf:no/such", "-o", "y.triptych"), 1, "hf:no/such: no such folder, and the Hugging Face hub cannot be"),
    (("evaluate", "hf:no/such"), 1, "hf:no/such: no such folder, and the Hugging Face hub cannot be reached"),
    (("evaluate", "two", "--method", "hf:no/such"), 1, "hf:no/such: not in the hub's cache, and the Hugging Face hub"),
    (("fit", "two", "-o", "y.triptych", "--backbone", "no/such"), 1, "no/such: no such folder, and the Hugging Face"),
    (("pull", "hf:no/such", "-o", "y.safetensors"), 1, "hf:no/such: not in the hub's cache"),
    (("push", "none.safetensors", "place"), 2, "none.safetensors: no such file or folder"),
]  # fmt: skip


def test_paths_devices_and_the_hub_are_looked_at_before_torch_is_loaded(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra hub")
    class_folders(tmp_path / "two", classes=2, each=1)
    (tmp_path / "two" / "class0").rename(tmp_path / "two" / "a")
    (tmp_path / "x.triptych").touch()
    (tmp_path / "x.jpg").write_text("no photo")
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=json.dumps([arguments for arguments, _, _ in TOLD]),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = ended.stderr.splitlines()
    assert len(lines) == len(TOLD), ended.stderr
    for line, (arguments, _, told) in zip(lines, TOLD, strict=True):
        assert line.startswith(f"error: {told}"), (arguments, line)
    assert ended.stdout.split() == [str(code) for _, code, _ in TOLD]
    assert time.monotonic() - begun < 60
