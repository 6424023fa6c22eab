"""The running example: what the demonstration delivers, declared in YAML. Copy it and change it."""
