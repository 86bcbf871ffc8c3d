from .toolbox import Toolbox as Toolbox
