"""Many flows in compressed time: what is kept is bounded, memory does not grow, every count is exact."""
