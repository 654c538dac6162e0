"""Networks on CUDA, and `.pt` weights on the CPU, with torch; TensorRT engines."""
