from .widget import ReviewWidget as ReviewWidget
