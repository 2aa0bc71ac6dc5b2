"""The exact engine: probabilities, their gradient, and all shifted vectors in one sweep."""
