"""The same computations in tensorflow-addons 0.23.0; runs in its own environment.

usage: python reference.py INPUTS.npz OUTPUTS.npz     (keys of INPUTS: "row/argument")
"""

import sys
from collections import defaultdict

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def instance_normalization(x, gamma, beta):
    layer = tfa.layers.InstanceNormalization()
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return layer(x)


def group_normalization(x, gamma, beta):
    layer = tfa.layers.GroupNormalization(groups=3)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return layer(x)


def adamw(weights, gradients, learning_rate=0.01, weight_decay=0.001):
    optimizer = tfa.optimizers.AdamW(weight_decay=weight_decay, learning_rate=learning_rate)
    variable, path = tf.Variable(weights), []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        path.append(variable.numpy())
    return np.stack(path)


def moving_average(weights, gradients, learning_rate=0.1, average_decay=0.9):
    inner = tf.keras.optimizers.legacy.SGD(learning_rate)
    optimizer = tfa.optimizers.MovingAverage(inner, average_decay=average_decay, start_step=1)
    variable = tf.Variable(weights)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    optimizer.assign_average_vars([variable])
    return variable


def rotate(images, angle):
    return tfa.image.rotate(images, float(angle), interpolation="bilinear")


def transform(images, matrix):
    return tfa.image.transform(images, matrix, interpolation="bilinear")


def translate(images, shift):
    return tfa.image.translate(images, shift, interpolation="bilinear")


def dense_image_warp(images, flow):
    return tfa.image.dense_image_warp(images, flow)


def gaussian_filter2d(images):
    return tfa.image.gaussian_filter2d(images, filter_shape=5, sigma=1.5)


def mean_filter2d(images):
    return tfa.image.mean_filter2d(images, filter_shape=3)


def median_filter2d(images):
    return tfa.image.median_filter2d(images, filter_shape=3)


def sigmoid_focal_crossentropy(y_true, y_pred):
    return tfa.losses.SigmoidFocalCrossEntropy()(y_true, y_pred)


def f1_score(y_true, y_pred):
    metric = tfa.metrics.F1Score(num_classes=y_true.shape[-1], threshold=0.5)
    metric.update_state(y_true, y_pred)
    return metric.result()


def connected_components(masks):
    return tfa.image.connected_components(masks)


def euclidean_dist_transform(masks):
    return tfa.image.euclidean_dist_transform(masks[..., None])[..., 0]


def main(inputs_path: str, outputs_path: str) -> None:
    rows = defaultdict(dict)
    with np.load(inputs_path) as inputs:
        for key, value in inputs.items():
            row, argument = key.split("/")
            rows[row][argument] = value
    outputs = {row: np.asarray(globals()[row](**arguments)) for row, arguments in rows.items()}
    np.savez(outputs_path, **outputs)
    print(f"tensorflow {tf.__version__}, tensorflow-addons {tfa.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
