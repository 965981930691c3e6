"""The recogniser: a scikit-learn classifier of photos, its state, its file, its calibration."""

from triptych.recognizer.answering import answers_by
from triptych.recognizer.answers import QUERY_BATCH, Answer, Scored, Scorer
from triptych.recognizer.assembly import assembled
from triptych.recognizer.banked import Banked
from triptych.recognizer.calibration import Calibration, fusion_from
from triptych.recognizer.changes import changing
from triptych.recognizer.estimator import Recognizer
from triptych.recognizer.file import plain_label
from triptych.recognizer.knowledge import Knowledge, check_inductive
from triptych.recognizer.leaving_out import even_shares, leave_one_out
from triptych.recognizer.sets import fewest_left_out

__all__ = [
    "QUERY_BATCH",
    "Answer",
    "Banked",
    "Calibration",
    "Knowledge",
    "Recognizer",
    "Scored",
    "Scorer",
    "answers_by",
    "assembled",
    "changing",
    "check_inductive",
    "even_shares",
    "fewest_left_out",
    "fusion_from",
    "leave_one_out",
    "plain_label",
]
