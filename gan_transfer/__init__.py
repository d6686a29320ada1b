"""GAN image style transfer in JAX: the source's content in the target's style."""
