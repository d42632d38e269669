"""Drift on summaries: every decision of a day against what its model learned from, and a verdict on any table's columns."""
