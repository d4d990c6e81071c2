"""Groups of prompts: which prompts are in each, and where models differ more than elsewhere."""
