"""nestbox: containers where something is missing, with every capability accounted for."""
