"""Plans that meet a budget: tables of choices, and the search in them."""
