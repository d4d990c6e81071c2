"""The exchange rate between seeing and drawing: what fine-tuning gained and cost at each adapter scale and training step."""
