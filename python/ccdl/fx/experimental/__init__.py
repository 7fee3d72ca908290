"""Where PyTorch keeps symbolic sizes; ccdl's sizes are plain integers."""
