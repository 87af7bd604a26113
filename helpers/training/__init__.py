"""Training a head on your own file, and labelling new files with it."""
