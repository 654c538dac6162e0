"""Helpers of the sources that read files: times, damage, decoding, pictures as arrays."""
