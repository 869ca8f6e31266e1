"""The networks' arithmetic in plain NumPy and float64, written from the paper.

Nothing here uses TensorFlow or looks at the package: it is what the layers are
compared with.
"""

import numpy as np


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: as many outputs as strides begin, the odd pixel at the end."""
    num_outputs = (size + stride - 1) // stride
    total = max((num_outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def windows(x, kernel: int, stride: int, pad_value: float = 0.0):
    """All windows, `[B, H', W', kernel, kernel, C]`."""
    pads = [same_padding(size, kernel, stride) for size in x.shape[1:3]]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=pad_value)
    rows = [
        [
            padded[:, top : top + kernel, left : left + kernel]
            for left in range(0, padded.shape[2] - kernel + 1, stride)
        ]
        for top in range(0, padded.shape[1] - kernel + 1, stride)
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def convolve(x, weights, stride: int, pad_value: float = 0.0):
    """`[B, H, W, I]` and `[k, k, I, O]` to `[B, H', W', O]`, SAME."""
    patches = windows(np.float64(x), weights.shape[0], stride, pad_value)
    return np.einsum("bhwijc,ijco->bhwo", patches, np.float64(weights))


def convolve_gradients(x, weights, upstream, stride: int, pad_value: float = 0.0):
    """Gradients of `sum(upstream * convolve(x, weights))` by x and by weights."""
    kernel = weights.shape[0]
    patches = windows(np.float64(x), kernel, stride, pad_value)
    by_weights = np.einsum("bhwijc,bhwo->ijco", patches, upstream)
    spread = np.einsum("bhwo,ijco->bhwijc", upstream, weights)
    pads = [same_padding(size, kernel, stride) for size in x.shape[1:3]]
    batch, height, width, channels = x.shape
    padded = np.zeros((batch, height + sum(pads[0]), width + sum(pads[1]), channels))
    for i in range(upstream.shape[1]):
        for j in range(upstream.shape[2]):
            top, left = i * stride, j * stride
            padded[:, top : top + kernel, left : left + kernel] += spread[:, i, j]
    top, left = pads[0][0], pads[1][0]
    return padded[:, top : top + height, left : left + width], by_weights


def sign(x):
    """-1 or +1; 0 counts as positive."""
    return np.where(np.asarray(x) >= 0, 1.0, -1.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def batch_norm(x, gamma, beta, mean, variance, epsilon: float):
    """Inference: with the running statistics."""
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def prelu(x, slope):
    return np.where(x > 0, x, slope * x)


def gate(x, reduce_kernel, expand_kernel):
    """G of Eq. 3: `[B, H, W, C]` to `[B, 1, 1, O]`."""
    pooled = np.float64(x).mean(axis=(1, 2))
    hidden = np.maximum(pooled @ np.float64(reduce_kernel[0, 0]), 0.0)
    return sigmoid(hidden @ np.float64(expand_kernel[0, 0]))[:, None, None, :]


def activation_scale(x, kernel: int, stride: int):
    """K of XNOR-Net (Eq. 1): `[B, H, W, C]` to `[B, H', W', 1]`."""
    magnitude = np.abs(np.float64(x)).mean(axis=-1, keepdims=True)
    return windows(magnitude, kernel, stride).sum(axis=(3, 4)) / kernel**2


def average_pool(x):
    """2x2, stride 2, SAME; pixels beyond the edge do not count."""
    total = windows(x, 2, 2).sum(axis=(3, 4))
    return total / windows(np.ones_like(x), 2, 2).sum(axis=(3, 4))


def numeric_gradient(function, x, step: float = 1e-6):
    """Central differences of a scalar function of one float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = function(x)
        x[index] = kept - step
        below = function(x)
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient
