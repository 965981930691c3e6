"""Weights from elsewhere: checkpoints published with papers, models of the transformers library, files."""

from triptych.interop.loading import chosen_method, load_method
from triptych.interop.pretrained import pretrained_method
from triptych.interop.published import import_checkpoint

__all__ = ["chosen_method", "import_checkpoint", "load_method", "pretrained_method"]
