"""The HTTP service: events in, queries out."""
