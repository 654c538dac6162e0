"""Networks on the CPU with OpenVINO."""
