"""The losses as written in the papers, in plain float64 NumPy, for hard or soft targets.

`q` and `p` have the shape `(batch, voxels, K)` with K >= 2 classes. Values are per voxel.
"""

import numpy as np
from scipy.special import digamma, gammaln


def ce(q, p):
    return -(q * np.log(p)).sum(-1)


def mae(q, p):
    return 0.5 * np.abs(q - p).sum(-1)


def rce(q, p, clamp=1e-4):
    return -(p * np.log(np.clip(q, clamp, 1))).sum(-1)


def nce(q, p):
    return (q * np.log(p)).sum(-1) / np.log(p).sum(-1)


def gce(q, p, exponent=0.7):
    return (q * (1 - p**exponent)).sum(-1) / exponent


def ngce(q, p, exponent=0.7):
    return (q * (1 - p**exponent)).sum(-1) / (q.shape[-1] - (p**exponent).sum(-1))


def sce(q, p, alpha=0.1, beta=1.0):
    return alpha * ce(q, p) + beta * rce(q, p)


def dice(q, p, smooth=1e-5):
    """Per image: 1 - soft Dice without class 0, mean over classes."""
    q, p = q[..., 1:], p[..., 1:]
    overlap = (2 * (q * p).sum(1) + smooth) / (q.sum(1) + p.sum(1) + smooth)
    return 1 - overlap.mean(-1)


def squared_dice(q, p, smooth=1e-5):
    q, p = q[..., 1:], p[..., 1:]
    overlap = (2 * (q * p).sum(1) + smooth) / ((q**2).sum(1) + (p**2).sum(1) + smooth)
    return 1 - overlap.mean(-1)


def nr_dice(q, p, gamma=1.5, smooth=1e-5):
    q, p = q[..., 1:], p[..., 1:]
    below = (q**2).sum(1) + (p**2).sum(1) + smooth
    return ((np.abs(p - q) ** gamma).sum(1) / below).mean(-1)


def generalized_dice(q, p):
    """As MONAI has it: a class that is not there takes the largest weight of the others."""
    with np.errstate(divide="ignore"):
        weight = 1 / q.sum(1) ** 2
    weight[np.isinf(weight)] = 0
    weight = np.where(weight == 0, weight.max(-1, keepdims=True), weight)
    below = (weight * (q.sum(1) + p.sum(1))).sum(-1)
    return 1 - 2 * (weight * (q * p).sum(1)).sum(-1) / below


def focal(q, p, gamma=2.0):
    return -(q * (1 - p) ** gamma * np.log(p)).sum(-1)


def nacl_penalty(q, z):
    """Mean over classes of |share - logit|, `(batch, H, W)`, of images `(batch, H, W, K)`."""
    padded = np.pad(q, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")
    height, width = q.shape[1:3]
    rows, columns = range(height), range(width)
    share = np.array(
        [[padded[:, i : i + 3, j : j + 3].mean((1, 2)) for j in columns] for i in rows]
    )
    return np.abs(np.moveaxis(share, 2, 0) - z).mean(-1)


def t_loss(squared_error, dimensions, nu, log_precision=0.0):
    """Eq. 4 of the T-Loss paper, of one image."""
    s = squared_error * np.exp(log_precision)
    return (
        -gammaln((nu + dimensions) / 2)
        + gammaln(nu / 2)
        + dimensions / 2 * np.log(np.pi * nu)
        - dimensions * log_precision / 2
        + (nu + dimensions) / 2 * np.log1p(s / nu)
    )


def t_loss_by_nu(squared_error, dimensions, nu):
    """Its derivative by ν."""
    return 0.5 * (
        digamma(nu / 2)
        - digamma((nu + dimensions) / 2)
        + np.log(nu + squared_error)
        - np.log(nu)
        - 1
        + (nu + dimensions) / (nu + squared_error)
    )


VOXELWISE = {
    "ce": ce, "mae": mae, "rce": rce, "nce": nce, "gce": gce, "ngce": ngce, "sce": sce,
    "focal": focal,
}  # fmt: skip
IMAGEWISE = {
    "dice": dice,
    "squared_dice": squared_dice,
    "nr_dice": nr_dice,
    "generalized_dice": generalized_dice,
}
