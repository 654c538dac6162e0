"""Events kept and told to others: the store, its retention, and delivery to MQTT and webhooks.

Nothing here is imported by `import pipeline`; SQLAlchemy and paho-mqtt come with the extra `live`.
"""
