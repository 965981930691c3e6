"""Recognizer: a few photos per class in, recognised photos out. A scikit-learn classifier of images."""

from collections.abc import Hashable, Iterable, Mapping
from html import escape
from os import PathLike
from typing import Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from triptych.bank import Bank, is_bank, place_of
from triptych.data import ImageSource, LabelledPhotos, as_label, as_photos, check_label, labelled
from triptych.interop import chosen_method
from triptych.methods import Method
from triptych.recognizer import bank_changes, memory_changes
from triptych.recognizer.answering import Answering, flag_setting, whole_setting
from triptych.recognizer.bank_state import current, open_bank
from triptych.recognizer.banked import Banked
from triptych.recognizer.file import Settings, fingerprint, read_file, write_file
from triptych.recognizer.knowledge import Knowledge, check_inductive, of_any_width
from triptych.recognizer.notebook import notebook_html
from triptych.recognizer.threads import SWAP, one_at_a_time
from triptych.support import Support
from triptych.system.devices import usable_device
from triptych.system.files import as_path
from triptych.system.kinds import RECOGNIZER
from triptych.system.outputs import check_replaced
from triptych.weights import DEFAULT

__all__ = ["MOST_VIEWS", "Recognizer"]

MOST_VIEWS = 64  # of each photo


class Recognizer(ClassifierMixin, Answering, BaseEstimator):
    """Recognise photos from a handful of examples per class, with evidence.

    Threads may share one: questions are answered by what it has learnt until then, and changes wait for each other.

    Args:
        method: a name that ``triptych methods`` lists with weights, a method file, a published checkpoint (see
            ``load_method``), or a method; with a backbone, a method alone that needs no training, such as "frn".
        device: where it computes.
        views: how many views of each photo it learns from, 1 to 64: 1 the photo, 2 also its mirror image, more also
            crops of it. For classes of very few photos; time and memory grow with it.
        calibrate: leave each photo out in turn, to learn how much each level counts, how far the probabilities can be
            trusted, and what is none of the classes. Without it nothing is left out, and the weights of training count.
        thumbnails: keep a small JPEG of each photo, so that evidence can be drawn.
        backbone: a vision model of the transformers library to recognise by: its name on the hub or its folder; see
            ``pretrained_method``.
        components: reduce descriptors to so many principal components, those of the photos given to ``fit``.
            ``add`` and ``remove`` keep them, so that their result is no longer that of ``fit`` on all photos, but
            that of ``Recognizer(fitted.method_).fit`` on all photos.
        bank: keep the classes in a database, of any number: a new folder, or an address such as
            "s3://bucket/name". ``load`` opens one that was fitted. See ``docs/bank.md``.

    Attributes:
        method_: the loaded method.
        support_: label -> ``Support``; of a bank, read when asked for.

    Examples:
        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> red = [np.full((90, 90, 3), (200 - i, 30, 30), np.uint8) for i in range(3)]
        >>> blue = [np.full((90, 90, 3), (30, 30, 200 - i), np.uint8) for i in range(3)]
        >>> recognizer = Recognizer().fit(red[:2] + blue[:2], ["red", "red", "blue", "blue"])
        >>> recognizer.predict([red[2], blue[2]])
        array(['red', 'blue'], dtype='<U4')
    """

    method_: Method
    support_: Mapping[Any, Support]
    _known: Knowledge | Banked

    def __init__(
        self,
        method: str | PathLike[str] | Method = DEFAULT,
        device: str = "cpu",
        views: int = 1,
        calibrate: bool = True,
        thumbnails: bool = True,
        backbone: str | PathLike[str] | None = None,
        components: int | None = None,
        bank: str | PathLike[str] | None = None,
    ) -> None:
        self.method = method
        self.device = device
        self.views = views
        self.calibrate = calibrate
        self.thumbnails = thumbnails
        self.backbone = backbone
        self.components = components
        self.bank = bank

    def fit(self, images: LabelledPhotos, labels: Iterable[Hashable] | None = None, split: str | None = None) -> Self:
        """Learn the classes of labelled photos.

        Args:
            images: paths, encoded bytes, PIL images or uint8 arrays (h, w, 3); classes may differ in number. Or,
                without ``labels``: a folder with one sub-folder per class, a CSV file with the columns path and
                label (paths relative to it), or a pandas frame with them. Of a folder, empty sub-folders (while two
                others remain) and photos beside the sub-folders are left out with a warning.
            labels: the class of each photo, of any hashable type.
            split: "train", "val" or "test", where ``images`` names a data set that has splits.

        Returns:
            self

        Raises:
            ValueError: different numbers of images and labels, fewer than two classes, the same photo in two
                classes (all such photos are named), or a class of which no photo can be read. A photo that cannot be
                read is skipped with a warning while others of its class remain.
        """
        photos, names, dtype = labelled(images, labels, split)
        if len(dict.fromkeys(names)) < 2:
            raise ValueError(
                f"expected photos of at least two classes, got {len(dict.fromkeys(names))}; recognition is a choice"
            )
        views = whole_setting("views", self.views, MOST_VIEWS)
        calibrate = flag_setting("calibrate", self.calibrate)
        thumbnails = self._keeps_thumbnails
        components = None if self.components is None else whole_setting("components", self.components, least=2)
        method = chosen_method(self.method, self.backbone).eval().to(usable_device(self.device))
        check_inductive(method)
        dtype = of_any_width(dtype)
        if self.bank is None:
            known = memory_changes.fitted(method, photos, names, dtype, views, components, calibrate, thumbnails)
            return self._take(known)
        if components is not None:
            raise ValueError("components are not for a bank; leave them out, or fit without a bank")
        bank = Bank(place_of(self.bank))
        return self._take(bank_changes.fitted(bank, method, photos, names, dtype, views, calibrate, thumbnails))

    @one_at_a_time
    def add(self, images: Iterable[ImageSource], label: Hashable) -> Self:
        """Add photos to a class, or a new class, without touching the others.

        The result is that of ``fit`` on all photos, bit for bit (with ``components``: see there). The errors are
        those of ``fit``; after one, nothing has changed.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.add(photos[4:], "c").predict(photos[[0, 5]])
        array(['a', 'c'], dtype='<U1')
        """
        known, label = self.known_, as_label(label)
        check_label(label)
        photos = as_photos(images)
        if not photos:
            raise ValueError(f"no photos to add to class {label!r}; expected at least one")
        if isinstance(known, Banked):
            return self._take(bank_changes.added(known, photos, label, self._keeps_thumbnails))
        return self._take(memory_changes.added(known, photos, label, self._keeps_thumbnails))

    @one_at_a_time
    def remove(self, label: Hashable | None = None, photo: str | None = None) -> Self:
        """Forget a class, or one photo.

        Args:
            label: the class.
            photo: in place of it, the id of a photo; see ``remove_photo``.

        Raises:
            ValueError: no such class, or fewer than two would remain; both are given, or neither.
        """
        known, label = self.known_, as_label(label)
        if (label is not None) == (photo is not None):
            raise ValueError("expected a label or the id of a photo, one of the two; support_ has both")
        if photo is not None:
            return self._without_photo(photo)
        check_label(label)
        if isinstance(known, Banked):
            return self._take(bank_changes.without_class(known, label, self._keeps_thumbnails))
        return self._take(memory_changes.without_class(known, label))

    @one_at_a_time
    def remove_photo(self, photo: str) -> Self:
        """Forget one photo.

        Args:
            photo: its id, or as much of its beginning as no other photo's id has. The ids are in ``support_``.

        Raises:
            ValueError: no such photo, several, or the last one of its class.
        """
        return self._without_photo(photo)

    def _without_photo(self, photo: str) -> Self:
        known = self.known_
        if not isinstance(photo, str):
            raise ValueError(f"expected the id of a photo, a text, got {photo!r:.80}; support_ has the ids")
        if isinstance(known, Banked):
            return self._take(bank_changes.without_photo(known, photo, self._keeps_thumbnails))
        return self._take(memory_changes.without_photo(known, photo))

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.triptych`` file with the method and what is kept of the classes, whole or not at all.

        An earlier recogniser of that name is replaced, any other file is not.

        Raises:
            ValueError: a label is no string, number or boolean, or the file exists and is no recogniser.
            OSError: the file cannot be written.
        """
        known = self.knowledge_
        check_replaced(as_path(path), RECOGNIZER)
        write_file(known, self._settings(), path)

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "Recognizer":
        """Read a ``.triptych`` file, or open a bank; they hold numbers and text, and never run code.

        Raises:
            ValueError: the file or the bank is missing, damaged, altered, or from a newer version.

        >>> from triptych import Recognizer
        >>> Recognizer.load("missing.triptych")
        Traceback (most recent call last):
        ValueError: missing.triptych: no such file; expected a .triptych file
        """
        if is_bank(path):
            banked, settings = open_bank(place_of(path), device)
            return cls(banked.method, device, **settings, bank=place_of(path))._take(banked)
        known, settings = read_file(path, device)
        return cls(known.method, device, **settings)._take(known)

    def fingerprint(self) -> str:
        """A hash of all that its answers depend on, 64 hexadecimal digits; saving and loading keep it.

        Raises:
            ValueError: a label is no string, number or boolean.
        """
        known = self.known_
        if isinstance(known, Banked):
            return known.fingerprint()
        return fingerprint(known, self._settings())

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that the input is photos or their paths, not a table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        tags.no_validation = True
        return tags

    def _repr_html_(self) -> str:  # type: ignore[override]
        """What a notebook shows."""
        known = getattr(self, "_known", None)
        return notebook_html(known) if isinstance(known, Knowledge) else f"<pre>{escape(repr(self))}</pre>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """The same, as scikit-learn's estimators give it."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _take(self, known: Knowledge | Banked) -> Self:
        """Replace the fitted state, in one step."""
        with SWAP:
            self._known, self.method_, self.support_ = known, known.method, known.support
        return self

    @property
    def _keeps_thumbnails(self) -> bool:
        return flag_setting("thumbnails", self.thumbnails)

    def _settings(self) -> Settings:
        return {"views": self.views, "calibrate": self.calibrate, "thumbnails": self.thumbnails}

    @property
    def known_(self) -> Knowledge | Banked:
        """Its fitted state, in memory or, as it is now, in a bank.

        Raises:
            NotFittedError: before ``fit``.
        """
        if not hasattr(self, "_known"):
            raise NotFittedError("this Recognizer knows no classes yet; call fit(images, labels) first")
        known = self._known
        if not isinstance(known, Banked):
            return known
        fresh = current(known)  # another process may have changed it
        with SWAP:
            if self._known is known:  # and no other thread
                self._known = fresh
        return fresh
