"""Where PyTorch keeps its tensors without data; ccdl has none."""
