"""Delivery of events to MQTT brokers, Home Assistant and webhooks."""
