"""The WebUI extension: what A1111 and Forge show of the engine."""
