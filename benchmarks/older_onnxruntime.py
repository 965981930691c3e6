"""Make a copy of ONNX Runtime that plays a processor with AVX2 and no AVX-512.

    python benchmarks/older_onnxruntime.py FOLDER
    PYTHONPATH=FOLDER ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
        python benchmarks/export.py ... --only speed --part avx2

ONNX Runtime asks the processor itself which registers the system saves (the instruction XGETBV), and has no setting
that overrules the answer. In the copy, the instruction is replaced by one of the same length that says: those of AVX,
no others. Only for measurements on x86-64 under Linux. Whole numbers of a byte still use AVX-VNNI where it is there.
"""

import argparse
import re
import shutil
from pathlib import Path

import onnxruntime

# "xor ecx, ecx; xgetbv", or after the register was cleared elsewhere "mov rbp, rdx; xgetbv".
_ASKED = re.compile(rb"(?<=\x31\xc9)\x0f\x01\xd0|(?<=\x48\x89\xd5)\x0f\x01\xd0")
_SAID = b"\xb0\x07\x90"  # mov al, 7; nop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="gets the copy")
    place = parser.parse_args().folder / "onnxruntime"
    shutil.copytree(Path(onnxruntime.__file__).parent, place)
    (library,) = (place / "capi").glob("onnxruntime_pybind11_state*.so")
    data, count = _ASKED.subn(_SAID, library.read_bytes())
    library.write_bytes(data)
    print(f"{library}: {count} places changed; expected 3 to 5 (onnxruntime {onnxruntime.__version__})")


if __name__ == "__main__":
    main()
