"""Live pictures for viewers: newest results, JPEG encoding, WebSocket."""
