"""Generators, discriminators and style networks; every module returns `(output, features by name)`."""
