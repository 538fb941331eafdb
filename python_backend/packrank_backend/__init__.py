"""The code behind the thin `model.py` files of the model repository."""
