"""What people and other programs read about a run: the summary in the terminal, and reports in files.

Everything here is made from :class:`orbit_context.models.runs.Run` and its results alone; no database is asked.
"""

from orbit_runner.report.write import KINDS, parse_report, write_report

__all__ = ["KINDS", "parse_report", "write_report"]
