from .look import shown_range as shown_range
from .look import style as style
from .look import to_rgb as to_rgb
from .names import in_order as in_order
from .names import line_styles as line_styles
from .names import loss_label as loss_label
