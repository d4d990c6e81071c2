"""Human evaluation: the study, its pages, the votes, and what they say."""
