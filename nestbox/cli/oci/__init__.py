"""The command line of `nestbox-runtime`, for engines: a drop-in for runc."""
