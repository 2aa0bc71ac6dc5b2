"""Where the cells of a study run: processes of this machine, or a Ray cluster."""
