"""What sections are built of: tables, pictures, numbers in words."""
