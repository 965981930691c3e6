"""The levels as naive float64 loops, written from the equations."""

import numpy as np
import scipy


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


def gaussian_vector(layers: list[np.ndarray]) -> np.ndarray:
    """Mean and lower triangle of the Cholesky factor of each layer's Gaussian, row by row."""
    vector = []
    for mean, covariance in (gaussian([one]) for one in layers):
        root = np.linalg.cholesky(covariance)
        vector += [*mean, *(root[i, j] for i in range(len(root)) for j in range(i + 1))]
    return np.array(vector)


def plda_axes(classes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin, axes and variances between classes, by the generalised eigenproblem of linear discriminant analysis."""
    means = np.array([vectors.mean(0) for vectors in classes])
    origin = means.mean(0)
    rows = [x - mean for vectors, mean in zip(classes, means, strict=True) for x in vectors]
    within = sum(np.outer(x, x) for x in rows) / len(rows)
    between = sum(np.outer(m - origin, m - origin) for m in means) / len(means)
    ridge = 0.3 * np.trace(within) / len(within) * np.eye(len(within))
    axes = scipy.linalg.eigh(between, within + ridge)[1][:, ::-1][:, : len(classes) - 1]
    axes = axes / np.sqrt([v @ within @ v for v in axes.T])
    return origin, axes, np.array([v @ between @ v for v in axes.T])


def code(vector: np.ndarray, origin: np.ndarray, axes: np.ndarray, between: np.ndarray) -> np.ndarray:
    y = np.array([v @ (vector - origin) for v in axes.T])
    return y * np.sqrt(len(y) / sum(y**2 / (1 + between)))


def code_likelihood_ratio(code: np.ndarray, support: list[np.ndarray], between: np.ndarray) -> float:
    """By Bayes' rule: the code and the mean of a class's images are jointly normal, for they share the class.

    The mean is as uncertain as that of so many independent images as the root of their number.
    """
    total = 0.0
    for axis, variance in enumerate(between):
        values = np.array([np.mean([one[axis] for one in support]), code[axis]])
        joint = variance * np.ones((2, 2)) + np.diag([1 / np.sqrt(len(support)), 1.0])
        density = scipy.stats.multivariate_normal.logpdf
        total += density(values, cov=joint) - density(values[:1], cov=joint[:1, :1])
        total -= density(values[1:], cov=joint[1:, 1:])
    return total


def wasserstein(query: np.ndarray, maps: list[np.ndarray]) -> float:
    (m, a), (n, b) = gaussian([query]), gaussian(maps)
    channels = len(m)
    return -(np.sqrt(((m - n) ** 2).sum()) / channels + np.sqrt(((a - b) ** 2).sum()) / channels**2)


def pooled(query: np.ndarray, maps: list[np.ndarray]) -> float:
    prototype = np.mean([x for one in maps for x in descriptors(one)], axis=0)
    return -((np.mean(descriptors(query), axis=0) - prototype) ** 2).sum()
