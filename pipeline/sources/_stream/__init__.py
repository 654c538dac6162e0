"""Helpers of the source `stream`: addresses, connections, decoding, time stamps."""
