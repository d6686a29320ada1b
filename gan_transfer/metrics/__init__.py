"""Measures of translated images. Each is handed images or a function that translates, and knows no method."""
