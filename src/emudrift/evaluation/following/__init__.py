"""Whether pictures show what was asked: scores of a judge's answers, its own error, and what both say of a difference."""
