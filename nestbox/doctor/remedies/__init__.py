"""Changes as text to paste, for each layer that may be around us."""
