"""What takes the place of each part of tensorflow-addons, in Keras 3 and SciPy.

One function per row of the migration guide, with the arguments of the tensorflow-addons call where
the two agree. ``tests/keras_robust/test_migration.py`` checks them against closed forms, NumPy and
SciPy; ``scripts/check_addons_parity.py`` measures them against tensorflow-addons itself.
"""

import keras
import numpy as np
from keras import ops
from scipy import ndimage


def instance_normalization(x, gamma, beta):
    """``tfa.layers.InstanceNormalization()``."""
    layer = keras.layers.GroupNormalization(groups=-1)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return layer(x)


def group_normalization(x, gamma, beta):
    """``tfa.layers.GroupNormalization(groups=3)``."""
    layer = keras.layers.GroupNormalization(groups=3)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return layer(x)


def _steps(optimizer, weights, gradients):
    variable = keras.Variable(weights)
    optimizer.build([variable])
    path = []
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)])
        path.append(ops.convert_to_numpy(ops.copy(variable)))
    return variable, np.stack(path)


def adamw(weights, gradients, learning_rate=0.01, weight_decay=0.001):
    """``tfa.optimizers.AdamW(weight_decay, learning_rate)``.

    There the decay is subtracted as it is, here it is multiplied by the learning rate.
    """
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay / learning_rate)
    return _steps(optimizer, weights, gradients)[1]


def moving_average(weights, gradients, learning_rate=0.1, average_decay=0.9):
    """``tfa.optimizers.MovingAverage(SGD(learning_rate), average_decay, start_step=1)``."""
    optimizer = keras.optimizers.SGD(learning_rate, use_ema=True, ema_momentum=average_decay)
    variable, _ = _steps(optimizer, weights, gradients)
    optimizer.finalize_variable_values([variable])
    return ops.copy(variable)


def rotate(images, angle):
    """``tfa.image.rotate(images, angle, interpolation="bilinear")``: radians, counter-clockwise."""
    height, width = images.shape[1:3]
    cos, sin = np.cos(angle), np.sin(angle)
    x = (width - 1 - (cos * (width - 1) - sin * (height - 1))) / 2
    y = (height - 1 - (sin * (width - 1) + cos * (height - 1))) / 2
    return transform(images, np.array([cos, -sin, x, sin, cos, y, 0, 0], "float32"))


def transform(images, matrix):
    """``tfa.image.transform(images, matrix, interpolation="bilinear")``: output to input, xy."""
    matrices = np.broadcast_to(matrix, (len(images), 8))
    return ops.image.affine_transform(images, matrices)


def translate(images, shift):
    """``tfa.image.translate(images, shift, interpolation="bilinear")``: pixels, xy."""
    return transform(images, np.array([1, 0, -shift[0], 0, 1, -shift[1], 0, 0], "float32"))


def dense_image_warp(images, flow):
    """``tfa.image.dense_image_warp(images, flow)``: the output at p is the input at p - flow."""
    height, width, channels = images.shape[1:]
    grid = ops.stack(ops.meshgrid(ops.arange(height), ops.arange(width), indexing="ij"))
    coordinates = ops.cast(grid, flow.dtype) - ops.moveaxis(flow, -1, 1)
    warped = [
        ops.image.map_coordinates(image[..., channel], points, order=1, fill_mode="nearest")
        for image, points in zip(images, coordinates, strict=True)
        for channel in range(channels)
    ]
    return ops.moveaxis(ops.reshape(ops.stack(warped), (-1, channels, height, width)), 1, -1)


def gaussian_filter2d(images, size=5, sigma=1.5):
    """``tfa.image.gaussian_filter2d(images, size, sigma)``: an odd size; reflecting borders."""
    margin = size // 2
    padded = ops.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), "reflect")
    # Without a data format, the JAX backend of Keras 3.15 takes the channels for columns.
    blurred = ops.image.gaussian_blur(padded, (size, size), (sigma, sigma), "channels_last")
    return blurred[:, margin:-margin, margin:-margin]


def mean_filter2d(images, size=3):
    """``tfa.image.mean_filter2d(images, size)``."""
    margin = size // 2
    padded = ops.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), "reflect")
    return ops.average_pool(padded, size, strides=1)


def median_filter2d(images, size=3):
    """``tfa.image.median_filter2d(images, size)``."""
    return ndimage.median_filter(images, size=(1, size, size, 1), mode="mirror")


def sigmoid_focal_crossentropy(y_true, y_pred, alpha=0.25, gamma=2.0):
    """``tfa.losses.SigmoidFocalCrossEntropy(alpha=alpha, gamma=gamma)``.

    There the last axis is summed, here it is averaged; both return one value per pixel.
    """
    loss = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=alpha, gamma=gamma, reduction=None
    )
    return loss(y_true, y_pred) * y_true.shape[-1]


def f1_score(y_true, y_pred):
    """``tfa.metrics.F1Score(num_classes, threshold=0.5)``."""
    metric = keras.metrics.F1Score(threshold=0.5)
    metric.update_state(y_true, y_pred)
    return metric.result()


def connected_components(masks):
    """``tfa.image.connected_components(masks)`` of binary masks: neighbours share an edge."""
    return np.stack([ndimage.label(mask)[0] for mask in masks])


def euclidean_dist_transform(masks):
    """``tfa.image.euclidean_dist_transform(masks)``: pixels to the nearest background."""
    return np.stack([ndimage.distance_transform_edt(mask) for mask in masks])
