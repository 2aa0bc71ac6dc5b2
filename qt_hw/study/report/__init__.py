"""The page of a study: one file that opens anywhere, without a network."""

from qt_hw.study.report.page import write_report

__all__ = ["write_report"]
