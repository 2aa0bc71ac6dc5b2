"""Honest statistics of a study: intervals, paired tests, the law of shots, theory."""
