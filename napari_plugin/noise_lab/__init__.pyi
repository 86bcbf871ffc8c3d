from .widget import NoiseLabWidget as NoiseLabWidget
