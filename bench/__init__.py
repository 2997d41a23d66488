"""The benchmark: launches by nestbox and by its peers, measured in one interleaved run."""
