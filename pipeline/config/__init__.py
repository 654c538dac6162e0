"""The configuration file: schema, secrets, sources as people write them, plug-ins, build."""
