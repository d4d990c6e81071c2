"""What models see: answers to questions about pictures, scored against those of people, with intervals."""
