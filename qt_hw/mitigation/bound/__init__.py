"""Techniques by mitiq, on bound circuits, for final evaluations; mitiq is imported when used."""
