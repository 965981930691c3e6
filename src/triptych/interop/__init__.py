"""Weights from elsewhere and for others: published checkpoints, models of the transformers library, files, the hub."""

from triptych.interop.cards import model_card, training_of
from triptych.interop.loading import chosen_method, load_method
from triptych.interop.pretrained import pretrained_method
from triptych.interop.published import import_checkpoint
from triptych.interop.sharing import check_push, method_file, pull_method, push_method

__all__ = [
    "check_push",
    "chosen_method",
    "import_checkpoint",
    "load_method",
    "method_file",
    "model_card",
    "pretrained_method",
    "pull_method",
    "push_method",
    "training_of",
]
