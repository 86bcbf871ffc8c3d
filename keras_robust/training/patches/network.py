"""Building and compiling the network of a plan."""

import keras

from keras_robust import losses
from keras_robust.common.errors import invalid
from keras_robust.losses import Dice, PerRegion, SegmentationLoss
from keras_robust.models import CoTeaching, build_network, supervision_weights
from keras_robust.planning.plan import Plan
from keras_robust.training.build import build_selection, compile_with, dtype_policy
from keras_robust.training.config import TrainConfig
from keras_robust.training.patches.optimizer import make_optimizer
from keras_robust.training.patches.pseudo_dice import PseudoDice

__all__ = ["build_planned", "compile_planned", "finest", "output_strides"]


def build_planned(config: TrainConfig, plan: Plan, classes: int) -> keras.Model:
    """The network of a plan, or two as peers, not compiled.

    Args:
        config: Of the run, with a plan.
        plan: As the run uses it.
        classes: Of the dataset, background included; 2 gives one sigmoid channel. A plan with
            regions gives one per region.
    """
    channels = len(plan.regions) or (1 if classes == 2 else classes)
    supervised = config.plan is not None and config.plan.deep_supervision

    def network() -> keras.Model:
        return build_network(
            config.model.name,
            (*plan.patch_size, plan.channels(classes)),
            classes=channels,
            features=plan.features[0],
            max_features=max(plan.features),
            strides=plan.strides,
            kernels=plan.kernels,
            encoder=plan.encoder,
            deep_supervision=supervised,
            regions=bool(plan.regions),
        )

    with dtype_policy(config.precision):
        selection = build_selection(config)
        return network() if selection is None else CoTeaching(network, selection, seed=config.seed)


def compile_planned(
    model: keras.Model, config: TrainConfig, plan: Plan, ignore_label: int | None = None
) -> PseudoDice:
    """Compile a model of `build_planned`; the metric of its finest output is returned.

    Each output has a loss of its own, so that each T-Loss has its own ν.
    """
    if config.plan is None:
        raise invalid("config", "a plan", said="none")
    outputs = model.output_names
    first = model.peer_a if isinstance(model, CoTeaching) else model
    metric = PseudoDice(first.outputs[0].shape[-1], ignore_label, plan.regions)
    optimizer = make_optimizer(config.plan)
    if len(outputs) == 1:
        compile_with(model, config, optimizer, _loss(config, plan, ignore_label), metrics=[metric])
        return metric
    compile_with(
        model,
        config,
        optimizer,
        [_loss(config, plan, ignore_label) for _ in outputs],
        loss_weights=supervision_weights(len(outputs)),
        metrics=[[metric], *([] for _ in outputs[1:])],
    )
    return metric


def output_strides(model: keras.Model, plan: Plan) -> list[tuple[int, ...]]:
    """Of each output of a model of `build_planned` against the patch, in voxels."""
    network = model.peer_a if isinstance(model, CoTeaching) else model
    return [
        tuple(edge // n for edge, n in zip(plan.patch_size, output.shape[1:-1], strict=True))
        for output in network.outputs
    ]


def finest(model: keras.Model) -> keras.Model:
    """The model with its finest output alone: of two peers as `CoTeaching.inference` says."""
    if isinstance(model, CoTeaching) and model.inference == "a":
        model = model.peer_a
    if not isinstance(model, CoTeaching):
        return keras.Model(model.inputs, model.outputs[0])
    inputs = keras.Input(model.input_shape[1:], name="image")
    # Each peer as a layer, since both name their layers alike.
    outputs = [keras.Model(peer.inputs, peer.outputs[0])(inputs) for peer in model.peers]
    return keras.Model(inputs, keras.layers.Average(dtype="float32")(outputs))


def _loss(config: TrainConfig, plan: Plan, ignore_label: int | None) -> SegmentationLoss:
    options = dict(config.loss_options)
    if ignore_label is not None:
        options.setdefault("ignore_label", ignore_label)
    loss = losses.get(config.loss, **options)
    for term in loss.terms():
        if isinstance(term, Dice) and "batch" not in options:
            term.batch = plan.batch_dice
    if plan.regions:
        return PerRegion(loss, [members for _, members in plan.regions])
    return loss
