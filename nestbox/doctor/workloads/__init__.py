"""What programs need of the environment that they run in, and whether it is there."""
