"""The levels as naive float64 loops, written from the equations."""

import numpy as np


def descriptors(feature_map: np.ndarray) -> np.ndarray:
    """One map (C, H, W) as its list of H * W local descriptors."""
    _, height, width = feature_map.shape
    return np.array([feature_map[:, y, x] for y in range(height) for x in range(width)], np.float64)


def unit(vector: np.ndarray) -> np.ndarray:
    length = np.sqrt((vector**2).sum())
    return vector / length if length > 0 else vector


def largest(values: list[float], k: int) -> float:
    return sum(sorted(values, reverse=True)[:k])


def table(score, query: np.ndarray, support: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """score(query map, list of the class's support maps) for every query and class."""
    classes = range(labels.max() + 1)
    return np.array(
        [[score(q, [s for s, y in zip(support, labels, strict=True) if y == n]) for n in classes] for q in query]
    )


def pixel(query: np.ndarray, maps: list[np.ndarray], k: int) -> float:
    pool = [unit(x) for one in maps for x in descriptors(one)]
    return sum(largest([float(unit(x) @ y) for y in pool], k) for x in descriptors(query))


def parts(feature_map: np.ndarray, normalize: bool) -> np.ndarray:
    matrix = np.array([unit(x) for x in descriptors(feature_map)])  # (M, C)
    return np.array([unit(column) if normalize else column for column in matrix.T])


def part(query: np.ndarray, maps: list[np.ndarray], k: int, normalize: bool) -> float:
    pool = [column for one in maps for column in parts(one, normalize)]
    return sum(largest([float(column @ other) for other in pool], k) for column in parts(query, normalize))


def gaussian(maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rows = [x for one in maps for x in descriptors(one)]
    mean = sum(rows) / len(rows)
    scatter = sum(np.outer(x - mean, x - mean) for x in rows)
    return mean, scatter / (len(rows) - 1) + 0.01 * np.eye(len(mean))


def drawn(one: tuple[np.ndarray, np.ndarray], base: list[tuple[np.ndarray, np.ndarray]], shot: int) -> tuple:
    """A class's Gaussian drawn to those of the base classes."""
    distances = np.array([np.sqrt(((one[0] - mean) ** 2).sum()) for mean, _ in base])
    weights = np.exp(-distances / (0.25 * distances.std()))
    weights /= weights.sum()
    target = sum(w * mean for w, (mean, _) in zip(weights, base, strict=True))
    common = sum(covariance for _, covariance in base) / len(base)
    centre = sum(mean for mean, _ in base) / len(base)
    variance = sum(((mean - centre) ** 2).sum() for mean, _ in base) / len(base)
    share = 2 / (2 + shot) * min(1, 2 * variance / ((one[0] - target) ** 2).sum())
    return tuple((1 - share) * own + share * other for own, other in zip(one, (target, common), strict=True))


def wasserstein(query: np.ndarray, maps: list[np.ndarray]) -> float:
    (m, a), (n, b) = gaussian([query]), gaussian(maps)
    channels = len(m)
    return -(np.sqrt(((m - n) ** 2).sum()) / channels + np.sqrt(((a - b) ** 2).sum()) / channels**2)


def pooled(query: np.ndarray, maps: list[np.ndarray]) -> float:
    prototype = np.mean([x for one in maps for x in descriptors(one)], axis=0)
    return -((np.mean(descriptors(query), axis=0) - prototype) ** 2).sum()
