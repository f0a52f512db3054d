"""What the delivery engine is measured by: `bin/bench` runs it."""
