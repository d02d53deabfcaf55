"""Real processes and faults: kill -9, signals, damaged files, a full disk."""
