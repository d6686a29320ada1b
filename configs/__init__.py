"""One file per experiment; `common.py` has every key there is."""
