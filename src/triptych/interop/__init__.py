"""Weights from elsewhere and for others: published checkpoints, models of the transformers library, files, the hub."""

from typing import TYPE_CHECKING

from triptych.interop.places import BEST, check_backbone, check_method
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.interop.cards import model_card, training_of
    from triptych.interop.loading import called, chosen_method, load_method
    from triptych.interop.naming import method_in_words
    from triptych.interop.pretrained import ALONE, method_alone, pretrained_method, pretrained_side
    from triptych.interop.published import import_checkpoint
    from triptych.interop.sharing import check_push, method_file, pull_method, push_method

__all__ = [
    "ALONE",
    "BEST",
    "called",
    "check_backbone",
    "check_method",
    "check_push",
    "chosen_method",
    "import_checkpoint",
    "load_method",
    "method_alone",
    "method_file",
    "method_in_words",
    "model_card",
    "pretrained_method",
    "pretrained_side",
    "pull_method",
    "push_method",
    "training_of",
]

# Whether a method can be had is told without torch.
__getattr__ = imported_when_used(
    __name__,
    {
        "ALONE": "triptych.interop.pretrained",
        "called": "triptych.interop.loading",
        "check_push": "triptych.interop.sharing",
        "chosen_method": "triptych.interop.loading",
        "import_checkpoint": "triptych.interop.published",
        "load_method": "triptych.interop.loading",
        "method_alone": "triptych.interop.pretrained",
        "method_file": "triptych.interop.sharing",
        "method_in_words": "triptych.interop.naming",
        "model_card": "triptych.interop.cards",
        "pretrained_method": "triptych.interop.pretrained",
        "pretrained_side": "triptych.interop.pretrained",
        "pull_method": "triptych.interop.sharing",
        "push_method": "triptych.interop.sharing",
        "training_of": "triptych.interop.cards",
    },
)
