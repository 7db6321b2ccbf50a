"""Tables to verdicts."""
