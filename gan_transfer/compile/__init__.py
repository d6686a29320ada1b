"""The training step compiled ahead of time, and what the compiled program says about memory, traffic and scaling."""
