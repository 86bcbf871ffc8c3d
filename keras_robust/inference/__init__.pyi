from .ensemble import Ensemble as Ensemble
from .evaluate import Evaluation as Evaluation
from .evaluate import evaluate as evaluate
from .held_out import evaluate_run as evaluate_run
from .planned import PlannedPredictor as PlannedPredictor
from .predict import Predictor as Predictor
from .predict import load_predictor as load_predictor
from .predict import predict as predict
