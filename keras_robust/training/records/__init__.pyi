from .finished import damage_of_run as damage_of_run
from .identity import differences as differences
from .identity import identity as identity
from .inputs import move_data as move_data
from .inputs import require_data as require_data
