from .measures import Comparer as Comparer
from .measures import label_pair as label_pair
from .measures import to_csv as to_csv
from .pair import read_pair as read_pair
from .widget import CompareWidget as CompareWidget
