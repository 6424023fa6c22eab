"""What a person writes of each type of destination; a module each."""
