"""Systems written as ONNX files, and image encoders exported for other backends."""
