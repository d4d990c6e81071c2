"""From prompts to shard archives: image generators, resumable shards, attempts, and progress of the arms."""
