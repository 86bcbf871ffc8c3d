from .dicom import read_series as read_series
from .dicom import write_segmentation as write_segmentation
from .grids import layer_affine as layer_affine
from .pictures import looks_like_labels as looks_like_labels
from .pictures import read_picture as read_picture
from .pictures import write_picture_file as write_picture_file
from .volumes import read_volume_layer as read_volume_layer
