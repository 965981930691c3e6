"""MML as its release computes it: the baseline of speed.py. Clear, and neither fast nor small.

float32, contiguous maps, one tensor of all Q * N * M * KM cosines and ``topk`` over it, distances of all pairs as a
(Q, N, C, C) tensor, KL in a loop over pairs, fusion by BatchNorm1d and a dilated convolution. It takes its weights from
a Triptych method of equal shots, so that its scores must be the same.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Conv64F
from triptych.methods import MML

RIDGE = 0.01


class PlainMML(nn.Module):
    """(query images, support images of N classes in order) -> fused scores (Q, N)."""

    def __init__(self, method: MML, way: int) -> None:
        super().__init__()
        self.config = method.config
        self.backbone = _plain_conv64f(method.backbone) if isinstance(method.backbone, Conv64F) else method.backbone
        self.way = way
        levels = len(method.level_names)
        self.norm = nn.BatchNorm1d(levels * way)
        self.fuse = nn.Conv1d(1, 1, levels, dilation=way, bias=False)

    def forward(self, query: Tensor, support: Tensor) -> Tensor:
        return self.fused(self.levels(self.backbone(query), self.backbone(support)))

    def fused(self, levels: dict[str, Tensor]) -> Tensor:
        return self.fuse(self.norm(torch.cat(list(levels.values()), dim=1))[:, None])[:, 0]

    def levels(self, query: Tensor, support: Tensor) -> dict[str, Tensor]:
        """{level: (Q, N)}; support maps (N * K, C, H, W), class after class."""
        classes = support.unflatten(0, (self.way, -1))  # (N, K, C, H, W)
        config = self.config
        distance = kl if config.distance == "kl" else wasserstein
        return {
            "distribution": distance(query, classes),
            "pixel": pixel(query, classes, config.pixel_k),
            "part": part(query, classes, config.part_k, config.part_normalize),
        }


def pixel(query: Tensor, classes: Tensor, k: int) -> Tensor:
    rows = functional.normalize(query.flatten(2).transpose(1, 2), dim=2)  # (Q, M, C)
    pools = functional.normalize(classes.flatten(3).transpose(1, 2).flatten(2), dim=1)  # (N, C, K*M)
    cosines = rows[:, None] @ pools  # (Q, N, M, K*M)
    return cosines.topk(k, dim=3).values.sum((2, 3))


def part(query: Tensor, classes: Tensor, k: int, normalize: bool) -> Tensor:
    rows = functional.normalize(query.flatten(2), dim=1)  # (Q, C, M)
    pools = functional.normalize(classes.flatten(3), dim=2).flatten(1, 2)  # (N, K*C, M)
    if normalize:
        rows, pools = functional.normalize(rows, dim=2), functional.normalize(pools, dim=2)
    products = rows[:, None] @ pools.transpose(1, 2)  # (Q, N, C, K*C)
    return products.topk(k, dim=3).values.sum((2, 3))


def wasserstein(query: Tensor, classes: Tensor) -> Tensor:
    mean, covariance, class_mean, class_covariance = _statistics(query, classes)
    channels = mean.shape[1]
    means = (mean[:, None] - class_mean).norm(dim=2)
    covariances = (covariance[:, None] - class_covariance).flatten(2).norm(dim=2)  # via (Q, N, C, C)
    return -(means / channels + covariances / channels**2)


def kl(query: Tensor, classes: Tensor) -> Tensor:
    mean, covariance, class_mean, class_covariance = _statistics(query, classes)
    rows = []
    for m, s in zip(mean, covariance, strict=True):
        row = []
        for class_m, class_s in zip(class_mean, class_covariance, strict=True):
            precision = torch.linalg.inv(class_s)
            offset = class_m - m
            mahalanobis = offset @ precision @ offset
            log_ratio = torch.logdet(class_s) - torch.logdet(s)
            row.append((torch.trace(precision @ s) + mahalanobis - len(m) + log_ratio) / 2)
        rows.append(torch.stack(row))
    return -torch.stack(rows)


def _statistics(query: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *_gaussian(query.flatten(2)), *_gaussian(classes.transpose(1, 2).flatten(2))


def _gaussian(descriptors: Tensor) -> tuple[Tensor, Tensor]:
    mean = descriptors.mean(2)
    centred = descriptors - mean[:, :, None]
    ridge = RIDGE * torch.eye(descriptors.shape[1], device=descriptors.device)
    return mean, centred @ centred.transpose(1, 2) / (descriptors.shape[2] - 1) + ridge


def _plain_conv64f(backbone: Conv64F) -> nn.Sequential:
    """The release's order of layers, LeakyReLU before the pooling, with the same weights."""
    layers: list[nn.Module] = []
    for layer in backbone.layers:
        convolution, norm, *rest = layer
        pools = [module for module in rest if isinstance(module, nn.MaxPool2d)]
        layers += [convolution, norm, nn.LeakyReLU(0.2, inplace=True), *pools]
    return nn.Sequential(*layers)
