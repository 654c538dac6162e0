"""Events: detected at zones and lines, stored with retention, delivered to MQTT and webhooks.

Nothing here is imported by `import pipeline`; SQLAlchemy and paho-mqtt come with the extra `live`.
"""
