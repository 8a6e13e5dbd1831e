"""Read models: row types, folds and views. Pure."""
