"""Answers to questions about pictures, in shards like images: what is asked, who answers, what is kept."""
