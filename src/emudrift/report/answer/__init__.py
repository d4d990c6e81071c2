"""The answer in words: verdict, caveats, and where a finding holds."""
