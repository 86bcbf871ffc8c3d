from .models import GivenModels as GivenModels
from .reading import GivenPredictions as GivenPredictions
