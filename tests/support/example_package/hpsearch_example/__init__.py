"""What a package can add to hpsearch: a module for each of the four kinds."""
