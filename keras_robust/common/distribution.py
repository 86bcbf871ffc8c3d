"""What code within a step knows of the replicas of `tf.distribute`, on any backend."""

__all__ = ["replica_number", "replicas", "sum_over_replicas"]


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


def replica_number() -> int:
    """Which of the replicas (tf.distribute) runs this code, from 0; 0 elsewhere."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group
