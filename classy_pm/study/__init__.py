"""Many fits: chains of them, grids, populations; nothing is here yet."""
