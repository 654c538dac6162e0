"""What all network runtimes share: classes, layouts, letterbox, NMS, several devices."""
