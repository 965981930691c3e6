"""Evidence: why a photo is recognised as what it is, as data and as pictures."""

from triptych.evidence.choosing import shown_matches
from triptych.evidence.explanation import Explanation, explain
from triptych.evidence.records import ClassEvidence, PartMatch, PatchMatch
from triptych.evidence.wording import lead_in_words

__all__ = ["ClassEvidence", "Explanation", "PartMatch", "PatchMatch", "explain", "lead_in_words", "shown_matches"]
