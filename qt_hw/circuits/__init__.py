"""Parameterised circuits, their lowering to {rz, ry, cx} and their shift rules."""
