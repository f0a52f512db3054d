"""Campaign to batches to hand-over."""
