"""LitServe with a recogniser, as a peer of ``triptych serve``; ``load.py --peer`` starts it.

    python -m venv peer && peer/bin/pip install . litserve
    python benchmarks/load.py --peer peer/bin/python

It batches as the service does: up to 32 photos, and no wait of more than 4 milliseconds. It has no shelves, no limits
and no checks: one recogniser, photos in base64, answers with their probabilities.
"""

import base64
import socket
import sys
from typing import Any

import litserve

from triptych import Recognizer
from triptych.data import NamedBytes
from triptych.recognizer import Answer

_BATCH, _GATHER = 32, 0.004


class Recognising(litserve.LitAPI):
    """Answers in batches; one photo a request."""

    def setup(self, device: str) -> None:
        """Load the recogniser in the process that computes."""
        self.recognizer = Recognizer.load(sys.argv[1])
        self.labels = [str(label) for label in self.recognizer.classes_]

    def decode_request(self, request: dict[str, Any]) -> NamedBytes:
        """The photo of a request."""
        [photo] = request["photos"]
        return NamedBytes(base64.b64decode(photo["data"]), photo["name"])

    def batch(self, inputs: list[NamedBytes]) -> list[NamedBytes]:
        """As they are."""
        return inputs

    def predict(self, photos: list[NamedBytes]) -> list[Answer]:
        """What the photos are."""
        return list(self.recognizer.answers(photos, "\0none", 0.05))

    def unbatch(self, answers: list[Answer]) -> list[Answer]:
        """As they are."""
        return answers

    def encode_response(self, answer: Answer) -> dict[str, Any]:
        """An answer as JSON."""
        probabilities = dict(zip(self.labels, answer.probabilities.tolist(), strict=True))
        return {"answers": [{"image": answer.image, "label": answer.label, "probabilities": probabilities}]}


def main() -> None:
    """Serve until the process is ended; the port is the first line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    print(f"port {port}", flush=True)
    server = litserve.LitServer(
        Recognising(max_batch_size=_BATCH, batch_timeout=_GATHER), accelerator="cpu", workers_per_device=1
    )
    server.run(host="127.0.0.1", port=port, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
