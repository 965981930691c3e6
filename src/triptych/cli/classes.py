"""Commands that make a recogniser, change what it knows, and show it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import AsJson, Backbone, Method, app, print_json, spare
from triptych.system.wording import counted

__all__ = ["add", "fit", "remove", "show"]

RecognizerFile = Annotated[Path, typer.Argument(help="A .triptych file.", metavar="FILE")]


@app.command()
def fit(
    photos: Annotated[
        Path, typer.Argument(help="A folder with one sub-folder of photos per class, or a CSV file of path,label.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .triptych file to write.")],
    method: Method = "mml-conv64f",
    backbone: Backbone = None,
    components: Annotated[int | None, typer.Option(help="Reduce descriptors to so many components.", min=1)] = None,
    views: Annotated[
        int, typer.Option(help="Views of each photo: 2 adds its mirror image, more add crops. For very few photos.")
    ] = 1,
    min_shot: Annotated[int, typer.Option("--shot", help="Fail if a class has fewer photos than this.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Learn the classes of a folder, or a table, of photos."""
    from triptych.recognizer import Recognizer
    from triptych.reports.inventory import describe_calibration

    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(f"{out}: expected a file in a folder that exists")
    spare(out, photos)
    recognizer = Recognizer(method, views=views, backbone=backbone, components=components).fit(photos)
    counts = {str(label): len(recognizer.support_[label]) for label in recognizer.classes_}
    for label, count in counts.items():
        if count < min_shot:
            usable = counted(count, "usable photo")
            raise ValueError(f"class {label!r} has {usable}, expected at least {min_shot}: add photos")
    recognizer.save(out)
    calibration = describe_calibration(recognizer.calibration_)
    if as_json:
        return print_json(
            {"file": str(out), "classes": counts, "method": backbone or method, "calibration": calibration}
        )
    print(f"{out}: {_summary(list(counts.values()))}\n{_trust(calibration)}")
    return None


@app.command()
def add(
    file: RecognizerFile,
    label: Annotated[str | None, typer.Argument(help="The class, known or new.")] = None,
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos of it, or folders of them.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="In place of LABEL and PHOTOS: what fit takes.", metavar="PHOTOS")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add photos to a class, or new classes, in a .triptych file; all of them or none."""
    from triptych.recognizer import changing

    wanted = _wanted(label, photos or [], source)
    with changing(file) as recognizer:
        before = {name: len(kept) for name, kept in recognizer.support_.items()}
        for name, mine in wanted.items():
            recognizer.add(mine, _known(recognizer, name))
        grown = {str(name): len(kept) - before.get(name, 0) for name, kept in recognizer.support_.items()}
    added = {name: count for name, count in grown.items() if count}
    counts = [len(kept) for kept in recognizer.support_.values()]
    if as_json:
        return print_json({"file": str(file), "added": added, "classes": len(counts), "photos": sum(counts)})
    print(f"{file}: {counted(sum(added.values()), 'photo')} added; {_summary(counts)}")
    return None


@app.command()
def remove(
    file: RecognizerFile,
    label: Annotated[list[str] | None, typer.Option(help="A class; may be given several times.")] = None,
    photo: Annotated[
        list[str] | None,
        typer.Option(help="The id of a photo, or how it begins, from triptych show; may be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove classes or photos from a .triptych file; all of them or none."""
    from triptych.recognizer import changing

    if not label and not photo:
        raise ValueError("expected --label with a class or --photo with an id; triptych show lists them")
    with changing(file) as recognizer:
        before = sum(len(kept) for kept in recognizer.support_.values())
        for one in dict.fromkeys(photo or []):
            recognizer.remove_photo(one)
        for name in dict.fromkeys(label or []):
            recognizer.remove(_known(recognizer, name))
    counts = [len(kept) for kept in recognizer.support_.values()]
    gone = before - sum(counts)
    if as_json:
        return print_json({"file": str(file), "removed": gone, "classes": len(counts), "photos": sum(counts)})
    print(f"{file}: {counted(gone, 'photo')} removed; {_summary(counts)}")
    return None


@app.command()
def show(
    file: RecognizerFile,
    photos: Annotated[bool, typer.Option("--photos", help="List the photos too: id and file name.")] = False,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page of thumbnails with names and ids.", metavar="PAGE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a .triptych file knows: classes, photos, and how far its answers can be trusted."""
    from triptych.recognizer import Recognizer
    from triptych.reports.inventory import inventory, inventory_page
    from triptych.system.files import write_whole

    if page is not None:
        spare(page, file)
    recognizer = Recognizer.load(file)
    known = inventory(recognizer)
    if page is not None:
        write_whole(page, inventory_page(recognizer, file.name).encode(errors="replace"))
    if as_json:
        return print_json({"file": str(file), **known})
    print(f"{file}: {_summary([len(one['photos']) for one in known['classes']])}\n{_trust(known['calibration'])}")
    for one in known["classes"]:
        print(f"{len(one['photos']):6}  {one['label']}")
        if photos:
            print(*(f"        {photo['id'][:12]}  {photo['name']}" for photo in one["photos"]), sep="\n")
    return None


def _summary(counts: list[int]) -> str:
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"{len(counts)} classes, {sum(counts)} photos, {each} a class"


def _trust(calibration: dict[str, Any] | None) -> str:
    if calibration is None:
        return "every class has a single photo: nothing to measure its answers by"
    return (
        f"of its own photos, each left out ({calibration['left_out']}): {calibration['accuracy']:.1%} recognised, "
        f"expected calibration error {calibration['ece']:.1%}"
    )


def _wanted(label: str | None, photos: list[Path], source: Path | None) -> dict[str, list[Any]]:
    """The photos to add to each class."""
    from triptych.data import labelled

    if (source is None) == (label is None) or bool(photos) == (label is None):
        raise ValueError("expected a label and photos of it, or --from with a folder of class folders or a CSV file")
    if label is not None:
        return {label: _files(photos)}
    wanted: dict[str, list[Any]] = {}
    for photo, name in zip(*labelled(source)[:2], strict=True):  # type: ignore[arg-type]
        wanted.setdefault(name, []).append(photo)
    return wanted


def _files(photos: list[Path]) -> list[Path]:
    """The photos, and those in the folders among them."""
    from triptych.data.folders import files_below

    found = []
    for path in photos:
        mine = files_below(path) if path.is_dir() else [path]
        if not mine:
            raise ValueError(f"{path}: no files in the folder; expected photos")
        found += mine
    return found


def _known(recognizer: Any, text: str) -> Any:
    """The class that is written like this: labels may be numbers; the text itself for a new class."""
    return next((label for label in recognizer.support_ if str(label) == text), text)
