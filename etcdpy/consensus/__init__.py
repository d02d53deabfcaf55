"""consensus: Raft."""
