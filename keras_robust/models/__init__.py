"""Segmentation models, and the rules that size them."""

import lazy_loader as _lazy

# Planning must not cost the import of Keras.
__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "networks": ["build_network", "network_names", "register_network"],
        "normalization": ["InstanceNormalization"],
        "planning": ["Plan", "make_plan"],
        "regions": ["class_probabilities", "labels_of"],
        "topology": ["Topology", "plan_topology"],
        "unet": ["UNet", "supervision_weights"],
    },
)
