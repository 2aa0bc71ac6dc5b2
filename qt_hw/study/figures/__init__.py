"""Figures of a study for a paper: PNG and SVG, readable by colour-blind readers and in print."""

from qt_hw.study.figures.drawing import draw_study

__all__ = ["draw_study"]
