"""The judge: what answers stored questions about generated pictures, in shards like the answers of models that see."""
