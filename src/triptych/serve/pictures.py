"""Photos as the page shows them: JPEGs that are never larger than a screen has use for."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace

from triptych.data import ImageError, NamedBytes, read_image
from triptych.evidence import ClassEvidence, Explanation
from triptych.recognizer import Recognizer
from triptych.reports import matched

__all__ = ["BESIDE_EVIDENCE", "WHOLE", "jpeg", "with_kept_photos"]

BESIDE_EVIDENCE, WHOLE = 480, 1600  # pixels of the longer side, at most


def jpeg(photo: NamedBytes, side: int = BESIDE_EVIDENCE) -> bytes:
    """A photo, upright, in a format that every browser shows.

    Raises:
        ImageError: it cannot be read.
    """
    image = read_image(photo, side=side)
    image.thumbnail((side, side))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def with_kept_photos(
    why: Explanation, recognizer: Recognizer, photo_file: Callable[[str], bytes | None]
) -> Explanation:
    """The same with the photos that are matched as they came, where their files are kept, in place of thumbnails.

    Args:
        why: what ``recognizer.explain`` returned.
        recognizer: who explained.
        photo_file: the bytes of a photo, or None where there is no file of it.
    """
    if recognizer.method_.preprocess.fit != "squash":
        return why  # places are those in a part of the photo
    return replace(
        why, classes=[_larger(one, why, recognizer.support_[one.label].ids, photo_file) for one in why.classes]
    )


def _larger(
    evidence: ClassEvidence, why: Explanation, ids: Sequence[str], photo_file: Callable[[str], bytes | None]
) -> ClassEvidence:
    pictures = list(evidence.thumbnails)
    for number in {match.photo for match in matched(evidence.matches, why.grid)}:
        data = photo_file(ids[number])
        try:
            pictures[number] = pictures[number] if data is None else jpeg(NamedBytes(data, ids[number]))
        except ImageError:  # the file was damaged since; the thumbnail is there
            continue
    return replace(evidence, thumbnails=tuple(pictures))
