"""The engine: trains folds and predicts, with torch. It emits events (comp.events) and prints nothing."""
