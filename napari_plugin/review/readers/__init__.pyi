from .head import Head as Head
from .results import Results as Results
from .third import OpinionPanel as OpinionPanel
from .third import ThirdReader as ThirdReader
