"""The recogniser: a scikit-learn classifier of photos, its state, its file, its calibration."""

from triptych.recognizer.answering import QUERY_BATCH, Answer
from triptych.recognizer.assembly import assembled
from triptych.recognizer.changes import changing
from triptych.recognizer.estimator import Recognizer
from triptych.recognizer.file import plain_label
from triptych.recognizer.sets import fewest_left_out

__all__ = ["QUERY_BATCH", "Answer", "Recognizer", "assembled", "changing", "fewest_left_out", "plain_label"]
