"""From features and votes to records and tables, with intervals."""
