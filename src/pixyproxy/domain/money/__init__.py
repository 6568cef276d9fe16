"""Money: amounts, prices and costs."""
