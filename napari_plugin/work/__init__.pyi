from .child import Channel as Channel
from .child import in_words as in_words
from .latest import Latest as Latest
from .tasks import ChildProcess as ChildProcess
from .tasks import Task as Task
from .tasks import run_in_background as run_in_background
