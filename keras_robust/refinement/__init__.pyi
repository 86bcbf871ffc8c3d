from .refine import Refinement as Refinement
from .refine import refine as refine
from .targets import refined_targets as refined_targets
from .targets import sureness as sureness
