"""Building blocks of report sections: tables, pictures, number formatting."""
