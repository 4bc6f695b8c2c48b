"""Tables and panels, on disk and in memory."""
