"""Human evaluation: study design, rating pages, votes, win rates and agreement."""
