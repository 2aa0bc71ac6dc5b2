"""Typhoon tracks (QPA): best-track files, steering fields, a generator, networks."""
