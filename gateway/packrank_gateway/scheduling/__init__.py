"""Which work is admitted, and whose goes to a model server next."""
