"""From prompts to shard archives: generators, resume, attempts, the state of the arms."""
