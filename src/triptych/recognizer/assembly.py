"""A recogniser of photos that are encoded already."""

from collections.abc import Mapping

import numpy as np

from triptych.methods import Method
from triptych.recognizer.estimator import Recognizer
from triptych.recognizer.knowledge import Knowledge
from triptych.support import Support

__all__ = ["assembled"]


def assembled(
    method: Method, support: Mapping[str, Support], calibrate: bool = True, before: Recognizer | None = None
) -> Recognizer:
    """The recogniser that ``fit`` gives of the same photos, without reading them again.

    Args:
        method: what encoded the photos.
        support: two classes or more.
        calibrate: as in ``Recognizer``.
        before: a recogniser by the same method of other photos; leave-one-out results that still hold are taken
            from it.

    Raises:
        ValueError: fewer than two classes.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> from triptych.recognizer import assembled
    >>> grey = [np.full((90, 90, 3), 60 * i, np.uint8) for i in range(4)]
    >>> fitted = Recognizer().fit(grey, ["dark", "dark", "light", "light"])
    >>> again = assembled(fitted.method_, fitted.support_)
    >>> again.fingerprint() == fitted.fingerprint()
    True
    """
    if len(support) < 2:
        raise ValueError(f"expected photos of at least two classes, got {len(support)}; recognition is a choice")
    left_out = None if before is None else before.knowledge_.learnt.left_out
    known = Knowledge.learn(method, dict(support), np.dtype("U"), calibrate, left_out)
    device = next(method.parameters()).device.type
    return Recognizer(method, device, known.views, calibrate)._take(known)
