"""From a recipe, or what a user calls a trained network, to the network; and what a checkpoint is."""
