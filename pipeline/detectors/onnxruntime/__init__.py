"""`.onnx` networks of every family on CUDA, with ONNX Runtime."""
