"""Shared by all network runtimes: classes, layouts, letterbox, NMS, several devices."""
