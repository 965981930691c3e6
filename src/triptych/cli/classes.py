"""Commands that make a recogniser, change what it knows, and show it."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import app
from triptych.cli.options import (
    AsJson,
    Backbone,
    Device,
    Method,
    Overwrite,
    Photos,
    PhotosFrom,
    RecognizerFile,
    Split,
    checked,
)
from triptych.cli.terminal import print_json, say
from triptych.system.kinds import PAGE, RECOGNIZER
from triptych.system.outputs import check_output
from triptych.system.settings import whole
from triptych.system.wording import composed, counted
from triptych.weights import DEFAULT

__all__ = ["add", "fit", "remove", "show"]

Components = Annotated[
    int | None, typer.Option(help="Reduce descriptors to so many components.", callback=checked(whole(2)))
]
Views = Annotated[
    int, typer.Option(help="Views of each photo: 2 adds its mirror image, more add crops. For very few photos.")
]
Least = Annotated[
    int,
    typer.Option("--min-photos", help="Fail if a class has fewer usable photos than this.", callback=checked(whole(1))),
]


@app.command()
def fit(
    photos: Photos,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The .triptych file to write.")] = None,
    bank: Annotated[
        str | None,
        typer.Option(help="In place of it, for very many classes: a new folder, or s3://BUCKET/NAME.", metavar="DIR"),
    ] = None,
    method: Method = DEFAULT,
    backbone: Backbone = None,
    components: Components = None,
    views: Views = 1,
    split: Split = None,
    least: Least = 1,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Learn the classes of a folder, or a table, of photos."""
    place = _one_place(out, bank, [photos, Path(method)], overwrite)
    from triptych.data import labelled

    files, labels, _ = labelled(photos, split=split)
    _check_counts(Counter(labels), least, "photo")  # before the work, what can be known before it
    from triptych.interop import called
    from triptych.recognizer import Recognizer
    from triptych.reports import describe_calibration, trust
    from triptych.system.devices import usable_device

    usable_device(device)
    recognizer = Recognizer(method, device, views, backbone=backbone, components=components, bank=bank)
    recognizer.fit(files, labels)
    counts = {str(label): count for label, count in recognizer.photo_counts().items()}
    try:
        _check_counts(counts, least, "usable photo")
    except ValueError:
        if bank is not None:
            recognizer.known_.bank.drop()  # type: ignore[union-attr]
        raise
    if out is not None:
        recognizer.save(out)
    calibration = describe_calibration(recognizer.calibration_)
    if as_json:
        return print_json(
            {"file": place, "classes": counts, "method": called(method, backbone), "calibration": calibration}
        )
    say(f"{place}: {_summary(list(counts.values()))}")
    say(trust(calibration))
    return None


@app.command()
def add(
    file: RecognizerFile,
    label: Annotated[str | None, typer.Argument(help="The class, known or new.", metavar="[LABEL]")] = None,
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos of it, or folders of them.", metavar="[PHOTOS]...")
    ] = None,
    source: PhotosFrom = None,
    split: Split = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Add photos to a class, or new classes, in a .triptych file.

    A photo that is named and cannot be read is an error, and nothing is added. In a folder, such photos are skipped
    with a warning.
    """
    wanted = _wanted(label, photos or [], source, split)
    from triptych.recognizer import changing
    from triptych.system.devices import usable_device

    usable_device(device)
    with changing(file, device) as recognizer:
        added: Counter[str] = Counter()
        for name, mine in wanted.items():
            known = _known(recognizer, name)
            before = _count(recognizer, known)
            recognizer.add(mine, known)
            if fresh := _count(recognizer, known) - before:
                added[str(known)] += fresh
        told, there = _totals(recognizer)
    if as_json:
        return print_json({"file": str(file), "added": added, **there})
    say(f"{file}: {counted(sum(added.values()), 'photo')} added; {told}")
    return None


@app.command()
def remove(
    file: RecognizerFile,
    label: Annotated[list[str] | None, typer.Option(help="A class. Give it again for more.")] = None,
    photo: Annotated[
        list[str] | None,
        typer.Option(help="The id of a photo, or how it begins, from triptych show. Give it again for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove classes or photos from a .triptych file, all of them or none; from a bank, one after the other."""
    from triptych.recognizer import changing

    if not label and not photo:
        raise ValueError("expected --label with a class or --photo with an id; triptych show lists them")
    with changing(file) as recognizer:
        before = _totals(recognizer)[1]["photos"]
        for one in dict.fromkeys(photo or []):
            recognizer.remove_photo(one)
        for name in dict.fromkeys(label or []):
            recognizer.remove(_known(recognizer, name))
        told, there = _totals(recognizer)
    gone = before - there["photos"]
    if as_json:
        return print_json({"file": str(file), "removed": gone, **there})
    say(f"{file}: {counted(gone, 'photo')} removed; {told}")
    return None


@app.command()
def show(
    file: RecognizerFile,
    photos: Annotated[bool, typer.Option("--photos", help="List the photos too: id and file name.")] = False,
    page: Annotated[
        Path | None,
        typer.Option("--out", "-o", "--html", help="Write a page of thumbnails with names and ids.", metavar="PAGE"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Show what a .triptych file, or a bank, knows: classes, photos, and how far its answers can be trusted."""
    if page is None and overwrite:
        raise ValueError("--overwrite is for the page of --out, which is missing; leave it out")
    if page is not None:
        check_output(page, PAGE, [file], overwrite)
    from triptych.recognizer import Recognizer
    from triptych.reports import inventory, inventory_page, trust
    from triptych.system.files import write_whole

    recognizer = Recognizer.load(file)
    if recognizer.bank is not None and page is not None:
        raise ValueError(f"{file}: a bank; --out makes a page of a .triptych file")
    known = inventory(recognizer)
    if page is not None:
        write_whole(page, inventory_page(recognizer, file.name).encode(errors="backslashreplace"))
    described = _described(recognizer.method_)
    support: Any = recognizer.support_
    listed = support.photos() if photos and recognizer.bank is not None else {}
    for one in known["classes"] if listed else []:
        one["photos"] = [{"id": photo, "name": name} for photo, name in listed.get(one["label"], {}).items()]
    if as_json:
        return print_json({"file": str(file), **described, **known})
    counts = recognizer.photo_counts()
    say(f"{file}: {_summary(list(counts.values()))}")
    say(f"Recognises by {described['method']}: network {described['network']}, {' + '.join(described['levels'])}.")
    say(trust(known["calibration"]))
    for one, count in zip(known["classes"], counts.values(), strict=True):
        say(f"{count:6}  {one['label']}")
        for photo in one["photos"] if photos else []:
            say(f"        {photo['id'][:12]}  {photo['name']}")
    if page is not None:
        say(f"Page: {page}")
    return None


def _described(method: Any) -> dict[str, Any]:
    """What a file recognises by."""
    from triptych.interop import method_in_words

    return {
        "method": method_in_words(method.config),
        "network": method.config.backbone,
        "levels": list(method.level_names),
    }


def _check_counts(counts: Mapping[Any, int], least: int, noun: str) -> None:
    for label, count in counts.items():
        if count < least:
            raise ValueError(f"class {label!r} has {counted(count, noun)}, expected at least {least}: add photos")


def _count(recognizer: Any, label: Any) -> int:
    """How many photos a class has."""
    if recognizer.bank is not None:
        return int(recognizer.support_.count(label))
    return len(recognizer.support_.get(label, ()))


def _totals(recognizer: Any) -> tuple[str, dict[str, int]]:
    """How much it knows, in words and for JSON; the classes of a bank are not counted, as there may be millions."""
    if recognizer.bank is not None:
        photos = len(recognizer.known_.bank)
        return counted(photos, "photo"), {"photos": photos}
    counts = list(recognizer.photo_counts().values())
    return _summary(counts), {"classes": len(counts), "photos": sum(counts)}


def _summary(counts: list[int]) -> str:
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"{len(counts)} classes, {sum(counts)} photos, {each} a class"


def _wanted(label: str | None, photos: list[Path], source: Path | None, split: str | None) -> dict[str, list[Any]]:
    """The photos to add to each class."""
    from triptych.data import labelled

    if (source is None) == (label is None) or bool(photos) == (label is None):
        raise ValueError("expected a label and photos of it, or --from with photos by class, as fit takes them")
    if label is not None:
        if split is not None:
            raise ValueError(f"--split {split} is of the data that --from names, which is missing; leave it out")
        return {label: _files(photos)}
    wanted: dict[str, list[Any]] = {}
    for photo, name in zip(*labelled(source, split=split)[:2], strict=True):  # type: ignore[arg-type]
        wanted.setdefault(name, []).append(photo)
    return wanted


def _files(photos: list[Path]) -> list[Path]:
    """The photos, and those in the folders among them; one that is named and cannot be read is an error."""
    from triptych.data import files_below, read_image

    found = []
    for path in photos:
        if not os.path.isdir(path):
            read_image(path)
            found.append(path)
            continue
        mine = files_below(path)
        if not mine:
            raise ValueError(f"{path}: no files in the folder; expected photos")
        found += mine
    return found


def _known(recognizer: Any, text: str) -> Any:
    """The class that is written like this: labels may be numbers; the text itself for a new class."""
    if recognizer.bank is not None:  # of very many classes, none is read
        return recognizer.support_.written(text)
    text = composed(text.strip())
    return next((label for label in recognizer.support_ if composed(str(label)) == text), text)


def _one_place(out: Path | None, bank: str | None, read: list[Path], overwrite: bool) -> str:
    """Where the recogniser shall lie: a file, or a bank; refused before the work, where it may not."""
    if (out is None) == (bank is None):
        raise ValueError("expected --out with a .triptych file to write, or --bank with a new folder, one of the two")
    if out is not None:
        check_output(out, RECOGNIZER, read, overwrite)
        return str(out)
    if overwrite:
        raise ValueError("--overwrite is for a file; add to the bank with triptych add, or name a new folder")
    from triptych.bank import check_new_place

    check_new_place(bank, read)  # type: ignore[arg-type]
    return str(bank)
