from .reading import Masks as Masks
from .reading import image_as_read as image_as_read
from .writing import write_channels as write_channels
from .writing import write_image as write_image
