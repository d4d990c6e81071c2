"""The verdict in words: conclusions, caveats, and the conditions under which a finding holds."""
