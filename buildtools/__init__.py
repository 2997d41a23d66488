"""Build steps of nestbox, used by setup.py and the Makefile and never installed."""
