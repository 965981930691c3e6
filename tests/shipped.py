"""Data sets as their authors ship them, as look-alikes of a few small images that tests write."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
from photos import photo
from PIL import Image

SPLITS = {"train": range(3), "val": range(3, 5), "test": range(5, 7)}
EACH = 3


def save(path: Path, kind: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(kind, number, side=20).save(path)


def table(path: Path, rows: list[tuple[str, str]]) -> None:
    path.write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))


def birds(root: Path) -> Path:
    """CUB-200-2011 with the tables of DN4's or FEAT's authors, which name files alone."""
    for split, kinds in SPLITS.items():
        names = [(f"Bird_{kind:04d}_{n}.jpg", f"{kind:03d}.Bird", kind, n) for kind in kinds for n in range(EACH)]
        for name, label, kind, n in names:
            save(root / "images" / label / name, kind, n)
        table(root / f"{split}.csv", [(name, label) for name, label, _, _ in names])
    for name in ("images.txt", "classes.txt"):
        (root / name).write_text("")
    (root / "parts").mkdir()
    return root


def dogs(root: Path) -> Path:
    for split, kinds in SPLITS.items():
        names = [(f"n{kind:03d}_{n}.jpg", f"n{kind:03d}-dog", kind, n) for kind in kinds for n in range(EACH)]
        for name, label, kind, n in names:
            save(root / "Images" / label / name, kind, n)
        table(root / f"{split}.csv", [(name, label) for name, label, _, _ in names])
    (root / "Annotation" / "n000-dog").mkdir(parents=True)
    return root


def cars(root: Path) -> Path:
    """All images in one folder, numbered; labels in MATLAB's format, and the split's tables beside it."""
    from scipy.io import savemat

    rows = [(f"{kind * EACH + n + 1:06d}.jpg", kind, n) for kind in range(7) for n in range(EACH)]
    for name, kind, n in rows:
        save(root / "car_ims" / name, kind, n)
    annotations = np.zeros(len(rows), dtype=[("relative_im_path", "O"), ("class", "O"), ("test", "O")])
    for row, (name, kind, _) in enumerate(rows):
        annotations[row] = (f"car_ims/{name}", kind + 1, 0)
    names = np.array([f"Car {kind}" for kind in range(7)], dtype=object)
    savemat(root / "cars_annos.mat", {"annotations": annotations, "class_names": names})
    for split, kinds in SPLITS.items():
        table(root / f"{split}.csv", [(name, str(kind + 1)) for name, kind, _ in rows if kind in kinds])
    return root


def cifar_fs(root: Path) -> Path:
    (root / "splits" / "bertinetto").mkdir(parents=True)
    for split, kinds in SPLITS.items():
        for kind in kinds:
            for n in range(EACH):
                save(root / "data" / f"class{kind}" / f"{n}.png", kind, n)
        (root / "splits" / "bertinetto" / f"{split}.txt").write_text("".join(f"class{kind}\n" for kind in kinds))
    return root


def arrays(split: str) -> tuple[np.ndarray, list[int]]:
    pairs = [(kind, n) for kind in SPLITS[split] for n in range(EACH)]
    return np.stack([np.asarray(photo(kind, n, side=20)) for kind, n in pairs]), [kind for kind, _ in pairs]


def fc100(root: Path) -> Path:
    root.mkdir()
    for split in SPLITS:
        data, labels = arrays(split)
        content = {"data": data, "labels": labels}
        (root / f"FC100_{split}.pickle").write_bytes(pickle.dumps(content, protocol=2))
    return root


def tiered(root: Path, npz: bool = False) -> Path:
    """Encoded images, or pixels, blue first. Each split numbers its classes from 0, and two of them have one name."""
    root.mkdir()
    for split in SPLITS:
        data, labels = arrays(split)
        encoded = []
        for image in data:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "png")
            encoded.append(np.frombuffer(buffer.getvalue(), np.uint8)[:, None])
        specific = np.array(labels) - min(labels)
        content = {"label_specific": specific, "label_specific_str": ["crane"] * 3, "label_general": specific * 0}
        (root / f"{split}_labels.pkl").write_bytes(pickle.dumps(content, protocol=2))
        if npz:
            np.savez(root / f"{split}_images.npz", images=data[..., ::-1])
        else:
            (root / f"{split}_images_png.pkl").write_bytes(pickle.dumps(encoded))
    return root


def cars_with_devkit(root: Path, labelled: bool = True) -> Path:
    """Stanford Cars in its other form: two folders whose names of files are alike, and labels of each by themselves."""
    from scipy.io import savemat

    (root / "devkit").mkdir(parents=True)
    for part, numbers in (("train", range(2)), ("test", range(2, EACH))):
        rows = [
            (f"{row + 1:05d}.jpg", kind, n) for row, (kind, n) in enumerate((k, n) for k in range(7) for n in numbers)
        ]
        for name, kind, n in rows:
            save(root / f"cars_{part}" / name, kind, n)
        fields = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
        bare = part == "test" and not labelled
        annotations = np.zeros(len(rows), dtype=[one for one in fields if not bare or one[0] != "class"])
        for row, (name, kind, _) in enumerate(rows):
            annotations[row] = (1, name) if bare else (1, kind + 1, name)
        suffix = "_withlabels" if part == "test" and labelled else ""
        savemat(root / "devkit" / f"cars_{part}_annos{suffix}.mat", {"annotations": annotations})
    names = np.array([f"Car {kind}" for kind in range(7)], dtype=object)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": names})
    for split, kinds in SPLITS.items():  # of the other form: its names of files are nowhere here
        table(
            root / f"{split}.csv", [(f"{kind * EACH + n + 1:06d}.jpg", str(kind + 1)) for kind in kinds for n in (0, 1)]
        )
    return root


def mini_cache(root: Path) -> Path:
    """miniImageNet as Ren et al. ship it: the rows of each class, here not in order."""
    root.mkdir()
    for split in SPLITS:
        data, labels = arrays(split)
        order = np.random.default_rng(0).permutation(len(labels))
        rows = {f"n{kind:08d}": [int(at) for at, of in enumerate(order) if labels[of] == kind] for kind in set(labels)}
        content = {"image_data": data[order], "class_dict": rows}
        (root / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content, protocol=2))
    return root


def birds_in_json(root: Path, before: str = "/home/else/CUB_200_2011/images/") -> Path:
    """CUB-200-2011 with the split of Chen et al., whose names begin with a folder of another machine."""
    birds(root)
    names = [f"{kind:03d}.Bird" for kind in range(7)]
    for file, (split, kinds) in zip(("base", "val", "novel"), SPLITS.items(), strict=True):
        (root / f"{split}.csv").unlink()
        images = [f"{before}{names[kind]}/Bird_{kind:04d}_{n}.jpg" for kind in kinds for n in range(EACH)]
        labels = [kind for kind in kinds for _ in range(EACH)]
        content = {"label_names": names, "image_names": images, "image_labels": labels}
        (root / f"{file}.json").write_text(json.dumps(content))
    return root
