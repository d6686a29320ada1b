"""Weights in the layout of the papers' own PyTorch code, into our parameters. No torch: plain numpy arrays."""
