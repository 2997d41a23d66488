"""The forms in which programs read a report: one module for each, all of them pure."""
