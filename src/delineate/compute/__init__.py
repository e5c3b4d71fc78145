"""Where and how precisely networks compute: threads, devices, precision, ONNX Runtime and OpenVINO."""
