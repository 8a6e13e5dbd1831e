"""FastStream applications: the projector."""
