"""The napari plugin: compare masks, simulate annotation errors, review, train, read and write.

It never imports TensorFlow or Keras: their libraries and the OpenGL of Mesa's software renderer end
in a segmentation fault in one process. Training and prediction run in a spawned child process.
"""
