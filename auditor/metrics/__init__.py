"""Pure functions from tensors to numbers, each citing its formula."""
