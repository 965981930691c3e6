"""How sure a recogniser may be: the temperature of its probabilities, and how far they are off."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor

from triptych.methods import Method

__all__ = ["TEMPERATURES", "calibration_error", "fitted_temperature", "new_photos_temperature", "usual_temperature"]

# A user has tens of photos, not thousands: the temperature is held near 1, where training has put it, by a
# log-normal prior as wide as a factor of two.
_PRIOR_WIDTH = float(np.log(2.0))
_SEARCHED = (-4.0, 4.0)  # of the temperature's logarithm
# Chosen on groceries, birds and signs; see new_photos_temperature and usual_temperature.
_LEARNING = 1.3
_USUAL_TEMPERATURE = 1.4
TEMPERATURES = (1e-3, 1e3)  # beyond what is searched; a file may hold none below or above


def fitted_temperature(logits: Tensor, truth: Tensor) -> float:
    """The divisor of the logits with the highest posterior."""

    def cost(log_temperature: float) -> float:
        loss = torch.nn.functional.cross_entropy(logits / float(np.exp(log_temperature)), truth, reduction="sum")
        return float(loss) + (log_temperature / _PRIOR_WIDTH) ** 2 / 2

    return float(np.exp(minimize_scalar(cost, bounds=_SEARCHED, method="bounded").x))


def new_photos_temperature(method: Method, left_out: float, shots: Int64[Tensor, " R"] | None, single: float) -> float:
    r"""The temperature of new photos, from that of the photos left out, whose class lacked one.

    .. math:: T = \big(T' \, \overline{1 - K^{-1.3}}\big)^{1 - s} \; T_1^s

    The factor stands where classes depend on each other, as what a method learns from how photos vary grows with each
    photo, and no training has calibrated the fusion; else it is 1. It was measured from 2 to 10 photos of groceries,
    birds and signs with the default method; the mean is over the photos left out. No photo is left out of a class of
    one: the share s of such classes counts with the usual temperature.

    Args:
        method: what compares.
        left_out: T', of the photos left out.
        shots: (R,) K, how many photos the class of each has; None where what is learnt of all classes lacked none.
        single: s, the share of classes of one photo.
    """
    factor = 1.0
    if shots is not None and not (method.separable or method.fusion.trained):
        factor = float((1 - shots.double() ** -_LEARNING).mean())
    return (left_out * factor) ** (1 - single) * usual_temperature(method) ** single


def usual_temperature(method: Method) -> float:
    """The temperature T_1 where no photo was left out: 1 after training, which calibrates the fusion; else above 1.

    >>> from triptych.methods import packaged_method
    >>> from triptych.recognizer.temperature import usual_temperature
    >>> usual_temperature(packaged_method("mml-conv64f"))
    1.0
    """
    return 1.0 if method.fusion.trained else _USUAL_TEMPERATURE


def calibration_error(probabilities: Float[np.ndarray, "B N"], truth: Int64[np.ndarray, " B"], bins: int = 15) -> float:
    r"""Expected calibration error: how far the stated probability of the answer is from how often it is right.

    .. math:: \mathrm{ECE} = \sum_b \frac{|B_b|}{B} \, |\mathrm{acc}(B_b) - \mathrm{conf}(B_b)|

    over ``bins`` equal intervals of the highest probability. Source: Guo et al., ICML 2017, equation 3.

    >>> import numpy as np
    >>> from triptych.recognizer.temperature import calibration_error
    >>> calibration_error(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=1)
    0.35
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(np.mean(right[bin_of == b]) - np.mean(confidence[bin_of == b])) for b in np.unique(bin_of)]
    shares = [np.mean(bin_of == b) for b in np.unique(bin_of)]
    return round(float(np.dot(gaps, shares)), 12)
