"""What code within a step knows of the replicas of `tf.distribute`, on any backend."""

__all__ = ["gather_over_replicas", "own_share", "replicas", "sum_over_replicas"]


def replicas() -> int:
    """Number of replicas whose mean losses Keras adds up (tf.distribute); 1 elsewhere."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(values):
    """The sum of what all replicas (tf.distribute) hold, and its gradient; elsewhere `values`."""
    if replicas() == 1:
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # There is none while Keras builds the model.
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def gather_over_replicas(values):
    """What all replicas (tf.distribute) hold, along the first axis; elsewhere `values`."""
    if replicas() == 1:
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return values if context is None else context.all_gather(values, axis=0)


def own_share(draw, shape):
    """The part for this replica (tf.distribute) of what is drawn for the batch of all of them.

    Args:
        draw: Called with a shape.
        shape: Of the part, `(batch, ...)`.
    """
    if replicas() == 1:
        return draw(shape)
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None:
        return draw(shape)
    whole = draw((shape[0] * replicas(), *shape[1:]))
    start = context.replica_id_in_sync_group * shape[0]
    return whole[start : start + shape[0]]
