"""Weights converted to other formats and to int8, compared with the original."""
